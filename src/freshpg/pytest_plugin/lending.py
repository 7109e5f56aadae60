"""What a run of pytest lends to its tests, and the one manager that it comes from."""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from freshpg.core.errors import FreshpgError
from freshpg.pytest_plugin.lent_pools import PoolsOut
from freshpg.pytest_plugin.marker import wishes
from freshpg.pytest_plugin.noted import ToLog
from freshpg.pytest_plugin.options import is_on, isolation_of, overrides_of
from freshpg.pytest_plugin.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest

    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager
    from freshpg.pytest_plugin.run import Run
    from freshpg.templates.blueprint import Blueprint


_STARTS_AGAIN = 2
"""Times that a run tries to start after that failed: each costs a test its deadline."""


class _Lent(NamedTuple):
    """A database that is out: to which test, class, module or session, through which fixture."""

    database: Database
    node: pytest.Item | pytest.Collector
    fixture: str


class Lending:
    """The databases of one run in one process; begun when the first fixture is asked for.

    Attributes:
        account: What was counted here, as plain data; empty before :meth:`stop` and when nothing was used.
        beside: Databases that are out to all tests and not through a fixture of ours.
        pools: Tenant pools that are out.
        is_strict: Whether a test that leaves something open fails.
    """

    def __init__(self, run: Run, *, terminal: int) -> None:
        self.account: dict[str, Any] = {}
        self.beside: list[Database] = []
        self.pools = PoolsOut()
        self._run = run
        self._progress = Progress(run.worker, terminal=terminal)
        self._noted = ToLog(run)
        self._manager: DatabaseManager | None = None
        self._owner_pid = 0
        self._failure: FreshpgError | None = None
        self._starts_left = _STARTS_AGAIN
        self._lent: list[_Lent] = []
        # Fixtures may fail after it; nobody has more than these.
        self._given_back: deque[_Lent] = deque(maxlen=16)
        self._isolation = isolation_of(run.config)
        self._keep_failed = is_on(run.config, "keep_failed")
        self.is_strict = is_on(run.config, "strict")
        self._prove = is_on(run.config, "prove")

    @property
    def root(self) -> Path:
        """Directory of the project; the server is started."""
        return self._started().settings.root

    @property
    def blueprints(self) -> Mapping[str, Blueprint]:
        """The project's blueprints by name; the server is started."""
        return self._started().blueprints

    @property
    def has_used_databases(self) -> bool:
        """Whether any test of this process may have seen a database."""
        return self._manager is not None

    @contextmanager
    def manager(self) -> Iterator[DatabaseManager]:
        """Give the manager, started, to a block in which a person may have to wait.

        Raises:
            FreshpgError: It cannot be started.
        """
        with self._progress.watched():
            yield self._started()

    @contextmanager
    def lend(self, request: pytest.FixtureRequest, blueprint: str = "main") -> Iterator[Database]:
        """Lend a database to whoever asked for the fixture, for as long as the fixture lives.

        Raises:
            FreshpgError: There is none to be had.
        """
        node: pytest.Item | pytest.Collector = request.node
        isolation = wishes(node).isolation or self._isolation
        test = node.nodeid or str(request.fixturename)
        with self._progress.watched():
            manager = self._started()
            database = manager.acquire(blueprint, isolation=isolation, test=test)
        lent = _Lent(database, node, str(request.fixturename))
        owner_pid = self._owner_pid
        self._lent.append(lent)
        try:
            yield database
        finally:
            self._lent.remove(lent)
            # A child forked by a test may run fixtures to their end; what is lent stays its parent's.
            if os.getpid() == owner_pid:
                self._given_back.append(lent)
                self._take_back(manager, database)

    def lost_under(self, item: pytest.Item, error: BaseException) -> FreshpgError | None:
        """Return why a database that a test had is not there any more; ``None`` when all are, or it had none."""
        manager = self._manager
        if manager is None or not self._run.is_owner:
            return None
        known = (*self._lent, *self._given_back)
        lent = [one.database for one in known if _used_by(one, item)]
        if self.beside and _of_django(item, error):
            lent += self.beside
        return manager.lost_under(error, lent)

    def may_help(self, error: BaseException) -> bool:
        """Whether a second try at what failed at a hand-out can end otherwise: at one of ours, if there was any."""
        is_ours = self._manager is not None or self._failure is not None
        return is_ours and (error is not self._failure or self._starts_left > 0)

    def renew(self) -> None:
        """Forget what the first run of a test had; a server that could not be had is tried again, but not for ever."""
        self._given_back.clear()
        if self._failure is not None and self._starts_left:
            self._starts_left -= 1
            self._failure = None

    def keep_if_wanted(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Keep the databases a test used, when it failed and that was asked for, or when its marker says so."""
        if not self.has_used_databases:
            return
        wish = wishes(item).keep
        if wish is None and self._keep_failed:
            wish = "failed"
        if wish is True or (wish == "failed" and report.failed):
            why = "the test failed" if report.failed else "its marker says so"
            lent = [one for one in self._lent if _used_by(one, item)]
            lines = [_kept(one.database, why) for one in lent]
            report.sections += [("freshpg", line) for line in (*lines, *self.pools.keep(item, why))]

    def stop(self) -> None:
        """Give everything back and count; again is fine, and in a forked child it does nothing."""
        manager, self._manager = self._manager, None
        if manager is None or os.getpid() != self._owner_pid:
            return
        problem = ""
        try:
            manager.stop()
        except FreshpgError as error:
            problem = str(error)
        self.account = {
            "statistics": manager.statistics.to_json(),
            "server": _server_line(manager),
            "problem": problem,
        }

    def close(self) -> None:
        """Let go of the terminal and the log."""
        self._progress.close()
        self._noted.stop()

    def _take_back(self, manager: DatabaseManager, database: Database) -> None:
        problem: FreshpgError | None = None
        if self.is_strict or self._prove:
            from freshpg.pytest_plugin.inspection import problem_of

            try:
                problem = problem_of(database, strict=self.is_strict, prove=self._prove)
            except FreshpgError as error:
                problem = error
        residue = manager.release(database)
        if problem is None and database.isolation == "rollback" and residue.audited:
            from freshpg.pytest_plugin.inspection import escape_of

            problem = escape_of(database, residue, strict=self.is_strict)
        if problem is not None:
            raise problem

    def _started(self) -> DatabaseManager:
        if self._failure is not None:
            # Trying again would cost every test the same deadline.
            raise self._failure.with_traceback(None)
        if self._manager is None or self._owner_pid != os.getpid():
            try:
                self._manager = self._new_manager()
            except FreshpgError as error:
                self._failure = error
                raise
            self._owner_pid = os.getpid()
        return self._manager

    def _new_manager(self) -> DatabaseManager:
        from freshpg.core.events import Bus
        from freshpg.manager import DatabaseManager

        manager = DatabaseManager.from_project(
            self._run.settings_begin,
            overrides=overrides_of(self._run.config),
            events=Bus([self._progress.take]),
            holder=self._run.worker,
        )
        self._noted.listen()
        manager.start()
        return manager


def _used_by(lent: _Lent, item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return lent.fixture in fixtures and lent.node in item.listchain()


def _of_django(item: pytest.Item, error: BaseException) -> bool:
    return "django_db_setup" in getattr(item, "fixturenames", ()) or type(
        error
    ).__module__.startswith("django.db")


def _kept(database: Database, why: str) -> str:
    try:
        return f"kept: freshpg psql {database.keep(why)}"
    except FreshpgError as error:
        return f"not kept: {error}"


def _server_line(manager: DatabaseManager) -> str:
    server = manager.server
    if server is None:
        return ""
    how = "" if server.how == server.provider else f", {server.how}"
    return f"PostgreSQL {server.version} ({server.provider}{how})"
