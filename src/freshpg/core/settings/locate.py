"""Which directory is the project's, and which of its files holds the settings."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freshpg.core.errors import SettingsInvalid
from freshpg.core.settings.origin import Origin, wrong_value

OWN_FILE = "freshpg.toml"
SHARED_FILE = "pyproject.toml"

_MOST_BYTES = 1024 * 1024
_MARKS = tuple("freshpg".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Project:
    """A project's directory and its settings as they stand in ``file``; ``lines`` has the line of each key."""

    root: Path
    file: Path | None = None
    table: dict[str, Any] = field(default_factory=dict)
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)


def find_project(start: Path) -> Project:
    """Return the project that ``start`` lies in.

    The nearest directory upwards with ``freshpg.toml`` or a ``pyproject.toml`` that has ``[tool.freshpg]``; else
    the nearest with ``pyproject.toml`` or ``.git``; else ``start``.

    Raises:
        SettingsInvalid: A file of settings cannot be read, or two of them stand side by side.
    """
    start = Path(start).absolute()
    if not start.is_dir():
        start = start.parent
    nearest: Path | None = None
    for directory in (start, *start.parents):
        project = _configured(directory, first=nearest is None)
        if project:
            return project
        if nearest is None and any(
            os.path.lexists(directory / mark) for mark in (SHARED_FILE, ".git")
        ):
            nearest = directory
    return Project(nearest or start)


def _configured(directory: Path, *, first: bool) -> Project | None:
    own = _read_project(directory, OWN_FILE)
    try:
        shared = _read_project(directory, SHARED_FILE)
    except SettingsInvalid as error:
        if not error.data.get("unreadable") or (first and own is None):
            raise
        shared = None  # somebody else's file, further up or beside ours
    if own and shared and own.table:
        raise SettingsInvalid(
            "two files of settings stand side by side",
            on=f"{own.file}\n{shared.file}, [tool.freshpg]",
            seen="both have settings; which of them counts would be a guess",
            todo=(f"move them all into one: {OWN_FILE} or [tool.freshpg] in {SHARED_FILE}",),
        )
    return shared or own


def _read_project(directory: Path, name: str) -> Project | None:
    """Return what a file says about freshpg; ``None`` when it is absent or says nothing."""
    path = directory / name
    if not os.path.lexists(path):
        return None
    content = _content(path)
    if name == SHARED_FILE and not any(mark in content for mark in _MARKS):
        return None
    text = _text(path, content)
    table = _parsed(path, text)
    if name == OWN_FILE:
        return Project(directory, path, table, _lines(text))
    return _shared_table(path, text, table)


def _shared_table(path: Path, text: str, document: dict[str, Any]) -> Project | None:
    tool = document.get("tool")
    if not isinstance(tool, dict) or "freshpg" not in tool:
        return None
    lines = {
        keys[2:]: line for keys, line in _lines(text).items() if keys[:2] == ("tool", "freshpg")
    }
    table = tool["freshpg"]
    if not isinstance(table, dict):
        raise wrong_value("tool.freshpg", Origin.of_file(path, lines.get(())), "a table", table)
    return Project(path.parent, path, table, lines)


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        problem = _unusable(status)
        if problem:
            raise _unreadable(path, problem)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if len(content) > _MOST_BYTES:
        raise _unreadable(path, f"more than {_MOST_BYTES:,} bytes")
    return content


def _unusable(status: os.stat_result) -> str:
    """Say why a file must not even be opened: reading a FIFO would wait for ever."""
    if stat.S_ISDIR(status.st_mode):
        return "a directory"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_size > _MOST_BYTES:
        return f"{status.st_size:,} bytes; settings have at most {_MOST_BYTES:,}"
    return ""


def _text(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _unreadable(path, "UTF-16", "save it as UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        raise _unreadable(path, "a byte order mark at its start", "save it as UTF-8 without BOM")
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise _unreadable(
            path, f"a NUL byte on line {line}: not a text, or UTF-16", "save it as UTF-8"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _unreadable(
            path, f"bytes that are not UTF-8 on line {line}", "save it as UTF-8"
        ) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        seen = str(error)
    except RecursionError:
        seen = "nested too deep"
    found = re.search(r"line (\d+)", seen)
    line = int(found[1]) if found else text.count("\n") + 1
    raise SettingsInvalid(
        "a file of settings was read",
        on=f"{path}:{line}",
        seen=f"not valid TOML: {seen}",
        todo=("correct that line; strings need quotes, and no key may be given twice",),
        path=path,
        line=line,
    )


def _lines(text: str) -> dict[tuple[str, ...], int]:
    from freshpg.core.settings.lines import key_lines

    return key_lines(text)


def _unreadable(path: Path, seen: str, todo: str = "") -> SettingsInvalid:
    return SettingsInvalid(
        "a file of settings was read",
        on=str(path),
        seen=seen,
        todo=(todo or f"make {path.name} a readable text file, or remove it",),
        path=path,
        line=None,
        unreadable=True,
    )
