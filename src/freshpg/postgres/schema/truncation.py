"""Emptying tables, with everything that goes with them known before it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import UsageInvalid
from freshpg.postgres.schema.reach import Path, reach
from freshpg.postgres.schema.unions import union_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.postgres.admin import Admin
    from freshpg.postgres.schema.model import Schema, Table


@dataclass(frozen=True, slots=True)
class Emptied:
    """One table of a plan: its own rows (those of heirs and partitions are theirs), and why it is reached."""

    table: Table
    path: Path
    rows: int

    def __str__(self) -> str:
        words = "row" if self.rows == 1 else "rows"
        return f"{self.table.qualified}: {self.rows} {words}; {self.path}"


@dataclass(frozen=True, slots=True)
class TruncatePlan:
    """What a truncation empties: the tables asked for first, then those it reaches, the nearest first.

    ``restored`` is how many rows of the template were put back afterwards.
    """

    asked: tuple[Table, ...]
    tables: tuple[Emptied, ...]
    done: bool = False
    restored: int = 0

    @property
    def reached(self) -> tuple[Emptied, ...]:
        """Those that nobody asked for."""
        return tuple(one for one in self.tables if one.path.hops)

    @property
    def rows(self) -> int:
        """How many rows in all."""
        return sum(one.rows for one in self.tables)

    @property
    def sql(self) -> str:
        """The statement: all of them at once, so that nothing else can be reached; empty without tables."""
        return (
            f"TRUNCATE TABLE {', '.join(_target(one.table) for one in self.tables)}"
            if self.tables
            else ""
        )

    def __str__(self) -> str:
        words = "emptied" if self.done else "would be emptied"
        back = f", {self.restored} rows put back" if self.restored else ""
        lines = [f"{len(self.tables)} tables, {self.rows} rows {words}{back}"]
        return "\n".join([*lines, *(f"  {one}" for one in self.tables)])

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "asked": [table.qualified for table in self.asked],
            "done": self.done,
            "rows": self.rows,
            "restored": self.restored,
            "tables": [
                {
                    "table": one.table.qualified,
                    "rows": one.rows,
                    "because": [str(hop) for hop in one.path.hops],
                }
                for one in self.tables
            ],
        }


def truncate(
    admin: Admin, schema: Schema, tables: Iterable[Table], *, dry_run: bool = False
) -> TruncatePlan:
    """Empty ``tables`` and all that reference them, in one statement; sequences stay where they are.

    A table that came to reference them since ``schema`` was read makes the server refuse: it is never emptied unseen.

    Args:
        admin: Inside the database, whose mark the caller has checked.
        schema: The database's.
        tables: Of ``schema``.
        dry_run: Only say what would happen.

    Raises:
        UsageInvalid: One is a view, or keeps its rows on another server.
        StatementFailed: The server refused; nothing was emptied.
    """
    asked = tuple(dict.fromkeys(tables))
    paths = reach(schema, asked)
    for table in paths:
        _require_rows_of_its_own(table, paths[table])
    rows = _count(admin, paths)
    plan = TruncatePlan(
        asked,
        tuple(Emptied(table, path, rows.get(table.oid, 0)) for table, path in paths.items()),
        done=not dry_run,
    )
    if not dry_run and plan.tables:
        admin.execute(plan.sql)
    return plan


def _target(table: Table) -> str:
    # A partitioned table has no ONLY; its partitions are all in the plan.
    return table.sql if table.kind == "p" else f"ONLY {table.sql}"


def _require_rows_of_its_own(table: Table, path: Path) -> None:
    if table.kind in {"r", "p"}:
        return
    seen = (
        "a materialized view holds what its query gave"
        if table.kind == "m"
        else f"a foreign table keeps its rows elsewhere ({path})"
    )
    raise UsageInvalid(
        "tables were about to be emptied",
        on=table.qualified,
        seen=seen,
        todo=("name ordinary or partitioned tables only",),
        table=table.qualified,
    )


def _count(admin: Admin, tables: Iterable[Table]) -> dict[int, int]:
    counts = [
        f"SELECT {table.oid}, pg_catalog.count(*) FROM ONLY {table.sql}"
        for table in tables
        if table.kind == "r"
    ]
    return dict(admin.rows(union_all(counts))) if counts else {}
