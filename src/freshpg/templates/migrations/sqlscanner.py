"""Where a statement of an SQL file ends: the lexical rules of psql, as a pure state machine.

Only what decides about ends is known here: quotes, comments, parentheses, the bodies of SQL-standard functions, and
which COPY reads from the file. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stop(Enum):
    """Why :meth:`StatementScanner.scan` returned."""

    LINE_END = auto()
    STATEMENT_END = auto()
    BACKSLASH = auto()


class Inside(Enum):
    """What the scanner stands in; the value is how an error calls it."""

    PLAIN = "statement"
    STRING = "string '…'"
    ESCAPE_STRING = "string E'…'"
    ESCAPE_STRING_PAUSE = "statement after E'…'"
    IDENTIFIER = 'identifier "…"'
    DOLLAR = "dollar-quoted string"
    COMMENT = "comment /* … */"


# Every character beyond ASCII belongs to identifiers, white space of Unicode included. So the classes say what of ASCII
# does not: compiling a range up to the last character takes milliseconds each.
_START = r"[^\x00-@\[-^`{-\x7f]"
_WORD = rf"{_START}[^\x00-#%-/:-@\[-^`{{-\x7f]*+"
_TAG = rf"\$(?:{_START}[^\x00-/:-@\[-^`{{-\x7f]*+)?\$"
_TOKEN = re.compile(
    rf"""
      (?P<blank>[ \t\n\r\f\v]++|--[^\n\r]*+)
    | (?P<comment>/\*)
    | (?P<escape>[eE]')
    | (?P<word>{_WORD})
    | (?P<dollar>{_TAG})
    | (?P<string>')
    | (?P<identifier>")
    | (?P<open>\()
    | (?P<close>\))
    | (?P<end>;)
    | (?P<meta>\\)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# What looks ahead is not repeated possessively: Python before 3.11.5 goes on from where it failed
# (https://github.com/python/cpython/issues/106052). Each repetition takes memory until the end, so there is a bound.
# Long INSERTs are most of a file: where words do not matter, whole rows are stepped over at once.
_HARMLESS = rf"""(?:
      (?![eE]'){_WORD}
    | [\x00-\x20!#%&*+,.0-9:<=>?@\[\]^`{{|}}~\x7f]++
    | '[^'\\]*+'
    | -(?!-)
    | /(?!\*)
    | (?!{_TAG})\$
    ){{1,256}}"""
_UNINTERESTING = re.compile(rf"(?: {_HARMLESS} | \( {_HARMLESS} \) ){{1,256}}", re.VERBOSE)
_STRING_END = re.compile(r"(?:[^']++|'')*+'")
_ESCAPE_STRING_END = re.compile(r"(?:[^'\\]++|\\.|'')*+'", re.DOTALL)
_IDENTIFIER_END = re.compile(r'(?:[^"]++|"")*+"')
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_BLANKS = re.compile(r"(?:[ \t\n\r\f\v]++|--[^\n\r]*+)*+")

_ENDS = {
    Inside.STRING: _STRING_END,
    Inside.ESCAPE_STRING: _ESCAPE_STRING_END,
    Inside.IDENTIFIER: _IDENTIFIER_END,
}

_BEFORE_STATEMENT = frozenset({"blank", "comment", "end", "meta"})
_ROUTINES = frozenset({"function", "procedure"})
_LONGEST_HEAD = 4  # CREATE OR REPLACE FUNCTION


class StatementScanner:
    """Collects the text of one statement after another, line by line.

    Args:
        standard_strings: Tells whether ``standard_conforming_strings`` is on; a script may change it on its way.
    """

    def __init__(self, standard_strings: Callable[[], bool]) -> None:
        self._standard_strings = standard_strings
        self._inside = Inside.PLAIN
        self._opened = 0
        self._tag = ""
        self._comment_depth = 0
        self._line_broken = False
        self._start_statement()

    def _start_statement(self) -> None:
        self._parts: list[str] = []
        self._started = 0
        self._parens = 0
        self._blocks = 0
        self._head: list[str] = []
        self._previous = ""
        self._words_matter = True
        self.copies_from_stdin = False

    @property
    def unfinished(self) -> tuple[Inside, int] | None:
        """The quote or comment that is still open, and the line it was opened in."""
        if self._inside in {Inside.PLAIN, Inside.ESCAPE_STRING_PAUSE}:
            return None
        return self._inside, self._opened

    def take(self) -> tuple[str, int]:
        """Return text and first line of the statement collected so far, and start the next one."""
        text, line = "".join(self._parts).rstrip(" \t\n\r\f\v"), self._started
        self._start_statement()
        return text, line

    def scan(self, line: str, start: int, number: int) -> tuple[int, Stop]:
        """Read ``line``, which is line ``number``, from ``start`` on; return where and why reading stopped.

        A statement starts at its first character that is neither blank nor comment. The ``;`` at its end belongs to
        it; a backslash is left for the caller.
        """
        begin = position = start
        stop = Stop.LINE_END
        while stop is Stop.LINE_END and position < len(line):
            if self._inside is not Inside.PLAIN:
                position = self._finish_quote(line, position)
                continue
            if not self._words_matter and (run := _UNINTERESTING.match(line, position)):
                position = run.end()
                continue
            token = _TOKEN.match(line, position)
            kind = token.lastgroup if token else None
            if token is None or kind is None:
                break
            if not self._started and kind not in _BEFORE_STATEMENT:
                begin, self._started = position, number
            stop = self._see(kind, token[0], number)
            position = token.start() if stop is Stop.BACKSLASH else token.end()
        if self._started:
            self._parts.append(line[begin:position])
        return position, stop

    def _see(self, kind: str, text: str, number: int) -> Stop:
        """Change state by one token."""
        match kind:
            case "word":
                self._see_word(text.lower())
            case "string" | "escape" | "identifier" | "dollar" | "comment":
                self._open_quote(kind, text, number)
            case "open":
                self._parens += 1
            case "close":
                self._parens = max(0, self._parens - 1)
            case "end" if self._started and not self._parens and not self._blocks:
                return Stop.STATEMENT_END
            case "meta":
                return Stop.BACKSLASH
        if kind not in {"blank", "comment"}:
            self._previous = text.lower()
        return Stop.LINE_END

    def _see_word(self, word: str) -> None:
        head = self._head
        if len(head) < _LONGEST_HEAD:
            head.append(word)
            self._words_matter = _may_be_routine(head) or head[0] == "copy"
        if self._parens:
            return
        if head[0] == "copy":
            # The grammar takes STDOUT for STDIN here.
            self.copies_from_stdin |= self._previous == "from" and word in {"stdin", "stdout"}
        elif self._words_matter:
            self._see_block(word)

    def _see_block(self, word: str) -> None:
        """Count BEGIN ATOMIC … END, and CASE … END within; a label or a column may be called ``end`` too."""
        if word == "atomic" and self._previous == "begin":
            self._blocks = 1
        elif self._blocks and self._previous not in {"as", "."}:
            self._blocks += {"case": 1, "end": -1}.get(word, 0)

    def _open_quote(self, kind: str, text: str, number: int) -> None:
        self._opened = number
        match kind:
            case "string" if self._standard_strings():
                self._inside = Inside.STRING
            case "string" | "escape":
                self._inside = Inside.ESCAPE_STRING
            case "identifier":
                self._inside = Inside.IDENTIFIER
            case "dollar":
                self._inside, self._tag = Inside.DOLLAR, text
            case "comment":
                self._inside, self._comment_depth = Inside.COMMENT, 1

    def _finish_quote(self, line: str, position: int) -> int:
        """Return where the open quote or comment ends in ``line``, or the line's end."""
        match self._inside:
            case Inside.COMMENT:
                return self._finish_comment(line, position)
            case Inside.ESCAPE_STRING_PAUSE:
                return self._finish_pause(line, position)
            case Inside.DOLLAR:
                found = line.find(self._tag, position)
                end = found + len(self._tag) if found >= 0 else -1
            case inside:
                match = _ENDS[inside].match(line, position)
                end = match.end() if match else -1
        if end < 0:
            return len(line)
        escape = self._inside is Inside.ESCAPE_STRING
        self._inside = Inside.ESCAPE_STRING_PAUSE if escape else Inside.PLAIN
        self._line_broken = False
        return end

    def _finish_comment(self, line: str, position: int) -> int:
        while edge := _COMMENT_EDGE.search(line, position):
            position = edge.end()
            self._comment_depth += 1 if edge[0] == "/*" else -1
            if not self._comment_depth:
                self._inside = Inside.PLAIN
                return position
        return len(line)

    def _finish_pause(self, line: str, position: int) -> int:
        """After E'…', a quote on a later line continues the same string, escapes included."""
        blanks = _BLANKS.match(line, position)
        if blanks:
            position = blanks.end()
            self._line_broken |= "\n" in blanks[0] or "\r" in blanks[0]
        if position == len(line):
            return position
        continues = self._line_broken and line[position] == "'"
        self._inside = Inside.ESCAPE_STRING if continues else Inside.PLAIN
        return position + continues


def _may_be_routine(head: list[str]) -> bool:
    """Whether a statement that starts with these words creates a function or procedure, as far as can be seen."""
    pattern = ("create", "or", "replace") if head[1:2] == ["or"] else ("create",)
    words = [*pattern, "routine"]
    return all(
        word in _ROUTINES if expected == "routine" else word == expected
        for word, expected in zip(head, words, strict=False)
    )
