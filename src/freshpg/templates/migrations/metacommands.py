r"""Which psql meta-commands (``\echo``, ``\connect``, …) an SQL file may hold.

Those that only change what psql shows, and those that pg_dump writes, mean nothing here and are passed over. Every
other one is refused: half of a script is worse than none.
https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-META-COMMANDS
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from freshpg.core.errors import MetaCommandRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMAND = re.compile(r"\\([^\s\\]*)")
_ARGUMENTS = re.compile(r"""(?:'(?:[^'\\]|\\.)*'?|"[^"]*"?|`[^`]*`?|[^\\'"`\n])*+""")

_SHOWS = re.compile(
    r"""\? | [CHTafhlptxz] | [lz]\+ | d[A-Za-z]*[+Sx]* | s[fv]\+? | (?:lo_)?list\+?
    | conninfo | copyright | qecho | echo | errverbose | help | html | print | pset | timing | warn""",
    re.VERBOSE,
)
_WRITTEN_BY_PG_DUMP = frozenset({"restrict", "unrestrict"})
_SHOWING_VARIABLES = re.compile(
    r"""COMP_KEYWORD_CASE | ECHO | ECHO_HIDDEN | FETCH_COUNT | HIDE_(?:TABLEAM|TOAST_COMPRESSION)
    | HIST(?:CONTROL|FILE|SIZE) | IGNOREEOF | ON_ERROR_ROLLBACK | PROMPT[123] | QUIET
    | SHOW_(?:ALL_RESULTS|CONTEXT) | VERBOSITY | WATCH_INTERVAL""",
    re.VERBOSE,
)
_FIXED_VARIABLES: Mapping[str, bool] = {
    "AUTOCOMMIT": True,
    "ON_ERROR_STOP": True,
    "SINGLELINE": False,
    "SINGLESTEP": False,
}
"""Variables that change what a script does, with the value that describes what happens here anyway."""

_ON = frozenset({"", "on", "1", "true", "yes"})
_OFF = frozenset({"off", "0", "false", "no"})

_SEND = "end the statement with ; instead"
_SERVER_SIDE = "write what it should do as a statement (a DO block can build and run statements)"
_SPLIT = 'name each file in migrations = ["a.sql", "b.sql"] instead'
_RUN = 'run the script by psql itself: migrations = ["run:psql -X -v ON_ERROR_STOP=1 -f FILE"]'
_ONE_DATABASE = (
    "delete the line: a template is one database, made by freshpg (pg_dump without --create)"
)
_INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("g", "gx", ";"), _SEND),
    **dict.fromkeys(
        ("gexec", "gset", "crosstabview", "watch", "bind", "bind_named", "parse"), _SERVER_SIDE
    ),
    **dict.fromkeys(("if", "elif", "else", "endif", "set", "unset"), _SERVER_SIDE),
    **dict.fromkeys(("i", "include", "ir", "include_relative"), _SPLIT),
    **dict.fromkeys(("c", "connect"), _ONE_DATABASE),
    "copy": r"write COPY … FROM stdin; with the data below it and a line \. at its end",
    "!": 'make it a step of its own: migrations = ["run:COMMAND"]',
    "encoding": "convert the file to UTF-8 and delete the line",
    "o": "delete the line: output of statements is not shown",
    "q": "delete the line and what follows it",
    ".": "delete the line: no COPY data stand before it",
}


def read_metacommand(line: str, start: int) -> tuple[str, str, int]:
    r"""Return name, arguments and end of the meta-command whose backslash stands at ``start``.

    Arguments end at the line's end or at the next unquoted backslash, which starts another command; ``\\`` ends a
    command and gives the rest of the line back to SQL.
    """
    command = _COMMAND.match(line, start)
    assert command is not None  # noqa: S101 (the caller saw the backslash)
    arguments = _ARGUMENTS.match(line, command.end())
    end = arguments.end() if arguments else command.end()
    text = line[command.end() : end].strip()
    return command[1], text, end + 2 if line.startswith("\\\\", end) else end


def check_metacommand(name: str, arguments: str, *, file: str, line: int) -> None:
    """Pass over a meta-command that may be passed over.

    Raises:
        MetaCommandRefused: It does something, and freshpg does not do it.
    """
    if name in _WRITTEN_BY_PG_DUMP or _SHOWS.fullmatch(name):
        return
    if name in {"set", "unset"} and _only_display(name, arguments):
        return
    if name == "encoding" and arguments.strip("'\"").upper().replace("-", "") in {
        "",
        "UTF8",
        "UNICODE",
    }:
        return
    remedy = _INSTEAD.get(name)
    raise MetaCommandRefused(
        rf"\{name} stands in an SQL file",
        on=f"{file}:{line}",
        seen=rf"\{name} {arguments}".rstrip(),
        todo=((remedy,) if remedy else ()) + (_RUN,),
        file=file,
        line=line,
        command=name,
    )


def _only_display(name: str, arguments: str) -> bool:
    variable, _, value = arguments.partition(" ")
    value = value.strip().strip("'").lower()
    if not variable or _SHOWING_VARIABLES.fullmatch(variable):
        return True
    if variable not in _FIXED_VARIABLES:
        return False
    wanted = _FIXED_VARIABLES[variable]
    if name == "unset":
        return not wanted
    return value in (_ON if wanted else _OFF)
