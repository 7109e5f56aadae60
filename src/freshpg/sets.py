"""Databases of several blueprints, leased and reset as a set.

They are always taken in one order, that of the blueprints' names. So whoever waits for one holds none that comes after
it, and two that need the same databases can never wait for each other:
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS says the same of locks.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.handle import raise_all
from freshpg.provision.plans import unknown_blueprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.handle import Database
    from freshpg.isolation.residue import Residue
    from freshpg.manager import DatabaseManager


class DatabaseSet(Mapping[str, "Database"]):
    """Databases by blueprint, in the order in which they were taken."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self._databases = dict(databases)

    def __getitem__(self, blueprint: str) -> Database:
        return self._databases[blueprint]

    def __iter__(self) -> Iterator[str]:
        return iter(self._databases)

    def __len__(self) -> int:
        return len(self._databases)

    def __repr__(self) -> str:
        return f"<DatabaseSet {', '.join(database.name for database in self.values())}>"

    def reset(self) -> dict[str, Residue]:
        """Make every one equal to its template again; return what was undone, by blueprint.

        One that fails does not keep the others from being reset.

        Raises:
            ExceptionGroup: Several failed; a single failure is raised as it is.
        """
        undone: dict[str, Residue] = {}
        problems: list[Exception] = []
        for blueprint, database in self.items():
            try:
                undone[blueprint] = database.reset()
            except FreshpgError as error:
                problems.append(error)
        raise_all(problems)
        return undone


def in_order(blueprints: Iterable[str]) -> tuple[str, ...]:
    """Return the blueprints, each once, in the one order in which their databases are taken."""
    return tuple(sorted(set(blueprints)))


def acquire_set(
    manager: DatabaseManager, blueprints: Iterable[str], *, isolation: str | None, test: str
) -> DatabaseSet:
    """Take a database of each blueprint, or of none when one cannot be had."""
    wanted = in_order(blueprints)
    for name in wanted:
        if name not in manager.blueprints:
            raise unknown_blueprint(name, manager.blueprints)
    taken: dict[str, Database] = {}
    try:
        for name in wanted:
            taken[name] = manager.acquire(name, isolation=isolation, test=test)
    except BaseException:
        for database in reversed(taken.values()):
            with suppress(FreshpgError):
                manager.release(database)
        raise
    return DatabaseSet(taken)


def release_set(manager: DatabaseManager, databases: DatabaseSet) -> None:
    """Take all back, the last one first, whatever becomes of the others."""
    problems: list[Exception] = []
    for database in reversed(tuple(databases.values())):
        try:
            manager.release(database)
        except Exception as error:  # noqa: BLE001 (raised with the others)
            problems.append(error)
    raise_all(problems)
