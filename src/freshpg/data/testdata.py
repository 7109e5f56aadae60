"""``TestData``: rows of one database, set up, verified and removed. Walks the parts; holds no SQL."""

from __future__ import annotations

from copy import copy
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from freshpg.core.errors import UsageInvalid
from freshpg.data import factories, files, mapped
from freshpg.data.catalog import Catalog
from freshpg.data.channel import Channel
from freshpg.data.checks import Checks
from freshpg.data.inserts import Inserts
from freshpg.data.journal import Journal
from freshpg.data.locks import locked
from freshpg.data.parents import Parents
from freshpg.data.questions import Questions
from freshpg.data.related import Related
from freshpg.data.unique import UniqueNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import psycopg
    from sqlalchemy.orm import Session

    from freshpg.data.tables import TargetTable
    from freshpg.handle import Database
    from freshpg.postgres.schema.truncation import TruncatePlan

Row = dict[str, Any]


class TestData(Checks):
    """Sets up, verifies and removes rows of one database.

    Table names are as in SQL: ``cart``, ``shop.cart``, ``"Cart"``. What it inserts is committed, except under the
    isolation ``rollback`` and on a connection given with :meth:`on`.

    Args:
        database: The database, from a fixture, a lease or :func:`freshpg.database`.
        root: Where relative paths of :meth:`load` begin; the current directory by default.
        run: What tells this run from others, for :meth:`unique`; made up by default.
        deadline: Seconds to wait for a lock that another transaction holds.
    """

    __test__ = False  # pytest would take it for a class of tests

    def __init__(
        self,
        database: Database,
        *,
        root: Path | str = "",
        run: str = "",
        deadline: float = 10.0,
    ) -> None:
        self.database = database
        self._root = Path(root)
        self._names = UniqueNames(database.test, run)
        self._numbers = count(1)
        self._session: Session | None = None
        self._use(Channel(database, deadline=deadline))

    def on(self, connection: psycopg.Connection[Any] | Session | Any) -> Self:
        """Return the same helper on a connection of the test: it sees, and becomes part of, what is not committed there.

        ``connection`` is psycopg's, or a ``Session`` or ``Connection`` of SQLAlchemy on psycopg. What is inserted is
        remembered apart from this helper's.

        Raises:
            UsageInvalid: It is something else.
        """
        other = copy(self)
        other._go_through(connection)  # noqa: SLF001 (one of ours)
        return other

    @overload
    def insert(
        self,
        table: str,
        rows: Mapping[str, Any] | None = None,
        *,
        with_parents: bool | Mapping[str, Mapping[str, Any]] = False,
    ) -> Row: ...
    @overload
    def insert(
        self,
        table: str,
        rows: Iterable[Mapping[str, Any]],
        *,
        with_parents: bool | Mapping[str, Mapping[str, Any]] = False,
    ) -> list[Row]: ...
    def insert(
        self,
        table: str,
        rows: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        *,
        with_parents: bool | Mapping[str, Mapping[str, Any]] = False,
    ) -> Row | list[Row]:
        """Insert a row, or several, and return what is in the table now, with keys and defaults.

        Args:
            table: Where to.
            rows: A mapping for one row, none for a row of defaults, or an iterable of mappings; they may differ in their
                columns.
            with_parents: Whether rows that foreign keys require and that do not exist are made; as a mapping, what
                those of some tables hold.

        Raises:
            TableUnknown: There is no such table; nothing was inserted.
            DataInvalid: A column does not exist; nothing was inserted.
            ParentsImpossible: Required rows cannot be made; nothing was inserted.
            psycopg.Error: The server refused a row; nothing was inserted.
        """
        from collections.abc import Mapping as AnyMapping

        if rows is None or isinstance(rows, AnyMapping):
            return self._insert(table, [rows or {}], with_parents)[0]
        return self._insert(table, list(rows), with_parents)

    def load(
        self,
        path: Path | str,
        *,
        table: str = "",
        with_parents: bool | Mapping[str, Mapping[str, Any]] = False,
    ) -> list[Row]:
        """Insert the rows of a file and return them; an SQL script returns none, and :meth:`clear` does not know its rows.

        Args:
            path: ``.csv`` with a header, read as ``COPY`` reads it; ``.json`` with a list of objects, or an object of
                such lists by table; ``.sql``.
            table: Where to; by default the table called like the file, or those that the JSON object names.
            with_parents: As for :meth:`insert`.

        Raises:
            DataInvalid: The file is not there or cannot be read; nothing was inserted.
            TableUnknown, ParentsImpossible, psycopg.Error: As for :meth:`insert`.
        """
        file = self._root / path
        files.require_file(file)
        with self._channel.together():
            match file.suffix.lower():
                case ".sql":
                    files.run_sql(self._channel.connection, file)
                    return []
                case ".csv":
                    by_table = [(table or file.stem, files.csv_rows(file))]
                case _:
                    by_table = files.json_rows(file, table)
            return [
                row for name, rows in by_table for row in self._insert(name, rows, with_parents)
            ]

    @overload
    def create(self, factory: Any, n: None = None, **options: Any) -> Any: ...
    @overload
    def create(self, factory: Any, n: int, **options: Any) -> list[Any]: ...
    def create(
        self,
        factory: Any,
        n: int | None = None,
        *,
        table: str = "",
        with_parents: bool | Mapping[str, Mapping[str, Any]] = False,
        **values: Any,
    ) -> Any:
        """Build an object with a factory of polyfactory or factory_boy, or ``n`` of them, and store them.

        Objects of SQLAlchemy's mapper are returned as they are, stored; of every other kind, the rows that they became.
        An object inside another one, in a field that is no column, becomes the row that a foreign key refers to.

        Args:
            factory: The factory's class.
            n: How many; none returns one instead of a list.
            table: Where to; by default what the built class is called.
            with_parents: As for :meth:`insert`.
            values: What the factory is told.

        Raises:
            UsageInvalid: It is no factory, or one that stores by itself.
            DataInvalid: No table is called like the built class, or it has other columns.
            TableUnknown, ParentsImpossible, psycopg.Error: As for :meth:`insert`.
        """
        model = factories.model_of(factory)
        built = [factory.build(**values) for _ in range(1 if n is None else n)]
        if built and mapped.is_mapped(built[0]):
            self._store(built, with_parents)
            return built[0] if n is None else built
        target = self._catalog.table(table) if table else factories.table_of(model, self._catalog)
        with self._channel.together():
            related = Related(
                self._catalog, lambda into, row: self._write(into, [row], with_parents)[0]
            )
            rows = [related.row(target, one, values) for one in built]
            written = self._write(target, rows, with_parents)
        return written[0] if n is None else written

    def clear(self) -> dict[str, int]:
        """Delete what this helper inserted and is still there, parents included; return how many rows went, by table.

        Raises:
            DataInUse: Rows that something else inserted refer to it; nothing was deleted.
        """
        return self._journal.remove(self._channel)

    def truncate(
        self, *tables: str, restore_seed: bool = False, dry_run: bool = False, deadline: float = 5.0
    ) -> TruncatePlan:
        """Empty tables and all that reference them; see :meth:`Database.truncate`."""
        return self.database.truncate(
            *tables, restore_seed=restore_seed, dry_run=dry_run, deadline=deadline
        )

    def unique(self, prefix: str = "") -> str:
        """Return a name that no other test and no other run has: ``prefix-1f3870be-1``.

        Within one run, the same test gets the same names in the same order.
        """
        return self._names.next(prefix)

    def locked(self, table: str, key: Any, *, deadline: float = 5.0) -> AbstractContextManager[Row]:
        """Hold a row during a ``with`` block; see :meth:`Database.locked`."""
        return locked(self.database, table, key, deadline=deadline)

    def close(self) -> None:
        """Close the connection it opened; again is fine. What it inserted stays."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _go_through(self, connection: Any) -> None:
        self._session = connection if hasattr(connection, "flush") else None
        self._use(Channel(self.database, _psycopg_connection(connection)))

    def _use(self, channel: Channel) -> None:
        self._journal = Journal()
        self._channel = channel
        self._catalog = Catalog(channel)
        self._inserts = Inserts(channel, self._journal)
        self._questions = Questions(channel)

    def _insert(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        with_parents: bool | Mapping[str, Mapping[str, Any]],
    ) -> list[Row]:
        return self._write(self._table(name, *rows), rows, with_parents)

    def _write(
        self,
        table: TargetTable,
        rows: Sequence[Mapping[str, Any]],
        with_parents: bool | Mapping[str, Mapping[str, Any]],
    ) -> list[Row]:
        table.require_columns(name for row in rows for name in row)
        with self._channel.together():
            parents = self._parents(with_parents)
            if parents is not None:
                rows = [parents.complete(table, row) for row in rows]
            return self._inserts.write(table, rows)

    def _store(
        self, objects: Sequence[Any], with_parents: bool | Mapping[str, Mapping[str, Any]]
    ) -> None:
        with mapped.session_for(self.database, self._session) as session:
            parents = self._parents(with_parents)
            mapped.store(session, objects, self._catalog, self._journal, parents)

    def _parents(self, wanted: bool | Mapping[str, Mapping[str, Any]]) -> Parents | None:
        if wanted is False:
            return None
        wishes: dict[int, dict[str, Any]] = {}
        for name, values in () if wanted is True else wanted.items():
            table = self._catalog.table(name)
            table.require_columns(values)
            wishes[table.oid] = dict(values)
        return Parents(self._catalog, self._channel, self._inserts, wishes, self._numbers)


def _psycopg_connection(connection: Any) -> psycopg.Connection[Any]:
    """Return psycopg's connection below whatever was given."""
    import psycopg

    found = connection
    if hasattr(found, "flush"):
        found = found.connection()
    if hasattr(found, "connection"):
        found = getattr(found.connection, "driver_connection", found)
    if not isinstance(found, psycopg.Connection):
        raise UsageInvalid(
            "test data was to go through a connection of the test",
            on=repr(connection),
            seen=f"it is {type(found).__module__}.{type(found).__qualname__}",
            todo=(
                "give a psycopg connection, or a Session of SQLAlchemy on psycopg",
                "other drivers see what pg_data commits",
            ),
        )
    return found
