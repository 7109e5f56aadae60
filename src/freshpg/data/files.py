"""Rows in files: CSV as ``COPY … CSV HEADER`` reads it, JSON, SQL scripts."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from psycopg import Cursor

from freshpg.core.errors import DataInvalid, MigrationUnreadable
from freshpg.data.values import Literal
from freshpg.templates.migrations.sqlscript import CopyIn, read_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

Row = dict[str, Any]

KINDS = (".csv", ".json", ".sql")

_CELL = re.compile(r'"((?:[^"]|"")*)"|([^",\r\n]*)')
_LINE_END = re.compile(r"\r\n|\n|\r")


def require_file(path: Path) -> None:
    """Make sure that there is a file of a kind that can be loaded.

    Raises:
        DataInvalid: There is none; names the nearest.
    """
    if path.suffix.lower() not in KINDS:
        raise _invalid(path, f"its kind is none of {', '.join(KINDS)}", "convert it")
    if not path.is_file():
        names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=1)
        raise _invalid(
            path,
            f"there is no such file in {path.parent}",
            *((f"perhaps {near[0]!r} was meant",) if near else ()),
            "relative paths begin at the project's root",
        )


def csv_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file with a header; cells are in PostgreSQL's text form.

    As for ``COPY``, an empty cell is NULL and ``""`` an empty text: https://www.postgresql.org/docs/current/sql-copy.html

    Raises:
        DataInvalid: A line has more or fewer cells than the header, or a quote has no end.
    """
    lines = list(_csv_lines(path))
    if not lines:
        raise _invalid(path, "it is empty", "its first line names the columns")
    _, header = lines[0]
    names = [cell or "" for cell in header]
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(names):
            raise _invalid(
                path, f"line {number} has {len(cells)} cells, the header {len(names)}", "correct it"
            )
        rows.append(
            {
                name: None if cell is None else Literal(cell)
                for name, cell in zip(names, cells, strict=True)
            }
        )
    return rows


def json_rows(path: Path, table: str) -> list[tuple[str, list[Row]]]:
    """Return tables and their rows: a list of objects for ``table``, or an object of such lists by table.

    Raises:
        DataInvalid: It is no JSON, or of another shape.
    """
    try:
        found = json.loads(_text(path))
    except ValueError as error:
        raise _invalid(path, f"it is not JSON: {error}", "correct it") from None
    by_table = found if isinstance(found, dict) and not table else {table or path.stem: found}
    for name, rows in by_table.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise _invalid(
                path,
                f"{name!r} is no list of objects",
                'write [{"column": value}, …], or {"table": [{…}], …}',
            )
    return list(by_table.items())


def run_sql(connection: psycopg.Connection[Any], path: Path) -> None:
    """Carry out a script statement by statement, with the data of its ``COPY … FROM stdin``.

    Raises:
        MigrationUnreadable, MetaCommandRefused: It cannot be read as a script.
        psycopg.Error: The server refused a statement, with a note that says which line.
    """
    cursor = Cursor(connection)
    with path.open("rb") as stream:
        for piece in read_script(stream, path.name):
            try:
                if isinstance(piece, CopyIn):
                    with cursor.copy(piece.text.encode()) as copy:
                        for data in piece.data:
                            copy.write(data)
                else:
                    cursor.execute(piece.text.encode())
            except connection.Error as error:
                error.add_note(f"freshpg: in {path.name}, line {piece.line}")
                raise


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str | None]]]:
    text, position, number = _text(path), 0, 1
    while position < len(text):
        start, cells = number, []
        while True:
            found = _CELL.match(text, position)
            assert found is not None  # noqa: S101 (the pattern matches nothing at all, too)
            quoted, plain = found.groups()
            cells.append(quoted.replace('""', '"') if quoted is not None else plain or None)
            number += found[0].count("\n")
            position = found.end()
            if position >= len(text) or text[position] != ",":
                break
            position += 1
        end = _LINE_END.match(text, position)
        if end is None and position < len(text):
            raise _invalid(
                path, f"line {number}: a quote has no end, or text follows it", "correct it"
            )
        position = end.end() if end else position
        number += 1
        if cells != [None]:
            yield start, cells


def _text(path: Path) -> str:
    try:
        # newline="": a line end inside quotes is data.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, str(error), "save it as UTF-8") from None


def _invalid(path: Path, seen: str, *todo: str) -> DataInvalid:
    return DataInvalid(
        "a file of rows was read", on=str(path), seen=seen, todo=todo, file=str(path)
    )


__all__ = ["KINDS", "MigrationUnreadable", "csv_rows", "json_rows", "require_file", "run_sql"]
