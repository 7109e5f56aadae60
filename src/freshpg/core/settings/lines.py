"""On which line each key of a TOML text stands; ``tomllib`` reads values but forgets places."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_LONG_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})(?!")' + r"|'''.*?'''(?:'{0,2})(?!')", re.DOTALL
)
_STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_BARE = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, counted from one, of every key, table and array item of a valid TOML text.

    A table named several times has the line of its first mention; items of arrays are ``"0"``, ``"1"``, …
    """
    return _Scanner(text).run()


class _Scanner:
    """Walks a text that ``tomllib`` has accepted, so every shape it meets is a legal one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.found: dict[tuple[str, ...], int] = {}
        self.line_ends = [match.start() for match in re.finditer("\n", text)]

    def run(self) -> dict[tuple[str, ...], int]:
        table: tuple[str, ...] = ()
        while self._next():
            if self._at("["):
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> tuple[str, ...]:
        line = self._line()
        brackets = 2 if self._at("[[") else 1
        self.position += brackets
        table = self._key()
        self.position += brackets
        self._record(table, line)
        return table

    def _pair(self, table: tuple[str, ...]) -> None:
        line = self._line()
        path = table + self._key()
        self._record(path, line)
        self.position += len("=")
        self._take(_BLANK)
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._take(_BLANK)
            part = self._take(_KEY)
            parts.append(tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part)
            self._take(_BLANK)
            if not self._at("."):
                return tuple(parts)
            self.position += 1

    def _value(self, path: tuple[str, ...]) -> None:
        if self._at("["):
            self._array(path)
        elif self._at("{"):
            self._inline_table(path)
        elif self._at('"""') or self._at("'''"):
            self._take(_LONG_STRING)
        elif self._at('"') or self._at("'"):
            self._take(_STRING)
        else:
            self._take(_BARE)

    def _array(self, path: tuple[str, ...]) -> None:
        self.position += 1
        number = 0
        while self._next() and not self._at("]"):
            item = (*path, str(number))
            self._record(item, self._line())
            self._value(item)
            number += 1
        self.position += 1

    def _inline_table(self, path: tuple[str, ...]) -> None:
        self.position += 1
        while self._next() and not self._at("}"):
            self._pair(path)
        self.position += 1

    def _record(self, path: tuple[str, ...], line: int) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], line)

    def _next(self) -> bool:
        """Skip to the next thing that means something; false at the end."""
        self._take(_GAP)
        return self.position < len(self.text)

    def _at(self, token: str) -> bool:
        return self.text.startswith(token, self.position)

    def _line(self) -> int:
        return bisect_right(self.line_ends, self.position - 1) + 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        if not match:
            raise ValueError(f"not TOML at character {self.position}")
        self.position = match.end()
        return match[0]
