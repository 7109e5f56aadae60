"""A psql-style script as a sequence of pieces that can be sent to a server one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from freshpg.core.errors import MigrationUnreadable
from freshpg.templates.migrations.metacommands import check_metacommand, read_metacommand
from freshpg.templates.migrations.sqlscanner import StatementScanner, Stop
from freshpg.templates.migrations.sqlsource import SqlSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text from the first character that is neither blank nor comment, and that one's line."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class CopyIn(Statement):
    """A ``COPY … FROM stdin`` and its data.

    ``data`` must be read before the next piece is asked for; what is left of it is then gone.
    """

    data: Iterator[bytes] = field(compare=False)
    data_line: int
    """Line of the file that holds the first line of the data."""


def read_script(
    stream: BinaryIO, name: str, *, standard_strings: Callable[[], bool] = lambda: True
) -> Iterator[Statement | CopyIn]:
    """Yield the pieces of a script as psql would send them, reading no more of the file than needed.

    Variables (``:name``) are left as they stand, as psql leaves those it does not know.

    Args:
        stream: The file, opened in binary mode.
        name: How errors call it.
        standard_strings: Whether ``standard_conforming_strings`` is on; asked again for every string, because the
            statements already carried out may have changed it.

    Raises:
        MigrationUnreadable: Not UTF-8, a NUL, or a quote, comment or COPY data without an end.
        MetaCommandRefused: A psql meta-command that does more than change what psql shows.
    """
    source = SqlSource(stream, name)
    scanner = StatementScanner(standard_strings)
    for line in source:
        number, position = source.line, 0
        while position < len(line):
            position, stop = scanner.scan(line, position, number)
            if stop is Stop.STATEMENT_END:
                yield from _piece(scanner, source)
            elif stop is Stop.BACKSLASH:
                command, arguments, position = read_metacommand(line, position)
                check_metacommand(command, arguments, file=name, line=number)
    _require_finished(scanner, name)
    yield from _piece(scanner, source)


def _piece(scanner: StatementScanner, source: SqlSource) -> Iterator[Statement | CopyIn]:
    copies = scanner.copies_from_stdin
    text, line = scanner.take()
    if not text:
        return
    if not copies:
        yield Statement(text, line)
        return
    # As in psql, the data start on the next line; what follows on this one comes after them.
    data = source.copy_data()
    yield CopyIn(text, line, data, source.line + 1)
    for _ in data:
        pass


def _require_finished(scanner: StatementScanner, name: str) -> None:
    if not scanner.unfinished:
        return
    inside, line = scanner.unfinished
    raise MigrationUnreadable(
        "an SQL file was read",
        on=f"{name}:{line}",
        seen=f"the {inside.value} that starts in line {line} has no end: the file was cut off, or a quote is missing",
        todo=("look at that line, and at the quotes before it",),
        file=name,
        line=line,
    )
