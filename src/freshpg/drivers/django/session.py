"""Leased databases behind Django's aliases, for the time of one run in one process."""

from __future__ import annotations

import weakref
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from django.db import connections
from django.db.backends.signals import connection_created

from freshpg.core.errors import DjangoUnusable, FreshpgError
from freshpg.drivers.django.aliases import DEFAULT_ALIAS, blueprints_by_alias
from freshpg.drivers.django.parking import Parking
from freshpg.drivers.django.testcases import reset_instead_of_flush
from freshpg.sets import DatabaseSet, acquire_set, in_order, release_set
from freshpg.supervision.failures import classify
from freshpg.supervision.noting import facts_of
from freshpg.templates.migrations.djangoentry import entry_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager

_current: DjangoDatabases | None = None


def leased_database(alias: str = DEFAULT_ALIAS) -> Database:
    """Return the database that an alias of Django points at in this run.

    For what a test does beside Django: a connection of its own, a URL for a program it starts.

    Raises:
        DjangoUnusable: No run of tests goes on in this process, or it has no database for the alias.
    """
    if _current is None:
        raise DjangoUnusable(
            "the database behind an alias of Django was asked for",
            on=repr(alias),
            seen="no run of tests with databases of freshpg goes on in this process",
            todo=("ask inside a test", "see that TEST_RUNNER is freshpg.drivers.django.TestRunner"),
            alias=alias,
        )
    return _current[alias]


def current() -> DjangoDatabases | None:
    """Return the databases that Django's aliases point at in this process, if a run goes on in it."""
    return _current


class DjangoDatabases:
    """Leases a database for each blueprint that Django's aliases need, and points the aliases at them.

    Args:
        manager: Who leases them; not stopped here.
        aliases: Aliases that the tests use; mirrors of them are pointed too.
        test: Who gets them, for errors and ``freshpg status``.

    Raises:
        DjangoUnusable: An alias has no blueprint, or is not for PostgreSQL.
    """

    def __init__(self, manager: DatabaseManager, aliases: Iterable[str], *, test: str) -> None:
        self.blueprints: Mapping[str, str] = blueprints_by_alias(
            connections.settings, aliases, manager.blueprints
        )
        for alias in self.blueprints:
            _require_postgresql(alias)
        self._manager = manager
        self._test = test
        self._leased = DatabaseSet({})
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()
        self._parking = Parking()
        self._configured: dict[str, dict[str, Any]] = {}
        self._ends = ExitStack()

    def open(self) -> Self:
        """Lease the databases, all or none, and point the aliases at them.

        Raises:
            FreshpgError: One is not to be had.
        """
        global _current  # noqa: PLW0603 (Django's connections are global too)
        with ExitStack() as ends:
            ends.callback(self._give_back)
            self._lease()
            for alias, blueprint in self.blueprints.items():
                self._configured[alias] = dict(connections.settings[alias])
                ends.callback(_point, alias, self._configured[alias])
                self._point(alias, blueprint)
            ends.callback(reset_instead_of_flush(self))
            ends.callback(self._parking.clear)
            connection_created.connect(self._note_connection, weak=False)
            ends.callback(connection_created.disconnect, self._note_connection)
            self._ends = ends.pop_all()
        _current = self
        return self

    def close(self) -> None:
        """Point the aliases back and give the databases back; again is fine."""
        global _current  # noqa: PLW0603 (as above)
        if _current is self:
            _current = None
        ends, self._ends = self._ends, ExitStack()
        ends.close()

    def lost(self) -> FreshpgError | None:
        """Return what became of the server or the lease of one of the databases; ``None`` while all are there."""
        return next(filter(None, map(self._manager.lost, self._leased.values())), None)

    def lost_under(self, error: BaseException) -> FreshpgError | None:
        """Return the same to a test that met an error: a connection may end a moment before its server does."""
        return self._manager.lost_under(error, self._leased.values())

    def note_loss(self, test: str, error: BaseException, lost: Exception, *, again: bool) -> None:
        """Write down under which test the server was lost."""
        failure = classify(error, lost=lost if isinstance(lost, FreshpgError) else None)
        facts = facts_of(failure, error)
        self._manager.log.write(failure.kind, test=test, **facts, again=again)

    def renew(self) -> None:
        """Lease anew what was lost. Aliases point at the dead server until they can point at the next one.

        Raises:
            FreshpgError: There is none to be had.
        """
        for wrapper in list(self._opened):
            _break_off(wrapper)
        self._parking.clear()
        with suppress(FreshpgError, ExceptionGroup):
            self._give_back()
        self._lease()
        for alias, blueprint in self.blueprints.items():
            self._point(alias, blueprint)

    def reset(self, aliases: Iterable[str]) -> None:
        """Make the databases behind these aliases equal to their templates; Django's connections stay usable.

        Raises:
            DjangoUnusable: An alias was not announced when the run began.
            FreshpgError: A database could not be reset.
        """
        for blueprint in in_order(map(self._blueprint, aliases)):
            # What this thread left open is at an end: a reset would have to end it as somebody else's.
            for wrapper in self._wrappers(blueprint, connections.all(initialized_only=True)):
                if wrapper.in_atomic_block or not wrapper.autocommit:
                    wrapper.close()
            residue = self._leased[blueprint].reset()
            if residue.replaced:
                self._forget_connections(blueprint)

    def close_connections(self) -> None:
        """Close this thread's connections for Django; sessions of leased databases wait for it to connect again."""
        for wrapper in connections.all(initialized_only=True):
            if wrapper.alias in self.blueprints:
                self._parking.close(wrapper)
            else:
                wrapper.close()

    def __getitem__(self, alias: str) -> Database:
        return self._leased[self._blueprint(alias)]

    def _lease(self) -> None:
        self._leased = acquire_set(
            self._manager, self.blueprints.values(), isolation="reset", test=self._test
        )

    def _point(self, alias: str, blueprint: str) -> None:
        _point(alias, entry_for(self._configured[alias], self._leased[blueprint].conninfo))

    def _give_back(self) -> None:
        leased, self._leased = self._leased, DatabaseSet({})
        release_set(self._manager, leased)

    def _blueprint(self, alias: str) -> str:
        if alias not in self.blueprints:
            raise DjangoUnusable(
                "a test used an alias of Django that has no leased database",
                on=f'DATABASES["{alias}"]',
                seen=f"when the run began, the tests were known to use: {', '.join(self.blueprints)}",
                todo=(
                    f'name it where the test says what it needs: databases = {{"default", "{alias}"}}',
                ),
                alias=alias,
            )
        return self.blueprints[alias]

    def _note_connection(self, *, connection: Any, **_: Any) -> None:
        if connection.alias in self.blueprints:
            self._opened.add(connection)

    def _wrappers(self, blueprint: str, opened: Iterable[Any]) -> list[Any]:
        return [one for one in opened if self.blueprints.get(one.alias) == blueprint]

    def _forget_connections(self, blueprint: str) -> None:
        """Let every thread connect again: the sessions of a database that was replaced were ended by the server."""
        self._parking.clear()
        for wrapper in self._wrappers(blueprint, list(self._opened)):
            raw, wrapper.connection = wrapper.connection, None
            if raw is not None:
                with suppress(Exception):
                    raw.close()
        for alias, its_blueprint in self.blueprints.items():
            if its_blueprint == blueprint:
                connections[alias].close_pool()


def _point(alias: str, to: Mapping[str, Any]) -> None:
    """Let an alias say this, for all threads."""
    _disconnect(alias)
    # In place: wrappers of every thread share this dictionary.
    entry = connections.settings[alias]
    entry.update(to)
    for key in entry.keys() - to.keys():
        del entry[key]


def _break_off(wrapper: Any) -> None:
    """Let a wrapper connect anew, whatever its thread was in: there is no server to end it on.

    What is put back is what ``connect()`` of Django puts back, which a wrapper inside of a transaction never comes to.
    """
    raw, wrapper.connection = wrapper.connection, None
    wrapper.in_atomic_block = wrapper.closed_in_transaction = wrapper.needs_rollback = False
    wrapper.savepoint_ids, wrapper.atomic_blocks, wrapper.run_on_commit = [], [], []
    if raw is not None:
        with suppress(Exception):
            raw.close()


def _disconnect(alias: str) -> None:
    connections[alias].close()
    connections[alias].close_pool()


def _require_postgresql(alias: str) -> None:
    wrapper = connections[alias]
    if wrapper.vendor != "postgresql":
        raise DjangoUnusable(
            "the engine of an alias was checked",
            on=f'DATABASES["{alias}"]',
            seen=f"its ENGINE is {wrapper.settings_dict['ENGINE']}, which is not for PostgreSQL",
            todo=(
                'use "ENGINE": "django.db.backends.postgresql", or one derived from it',
                f'leave {alias!r} out of "databases" of the tests',
            ),
            alias=alias,
        )
