"""The mapping behind ``pg_databases``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from freshpg.pytest_plugin.marker import wishes
from freshpg.pytest_plugin.run import RUN
from freshpg.sets import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from freshpg.handle import Database
    from freshpg.pytest_plugin.lending import Lending


class Databases(Mapping[str, "Database"]):
    """One database of each blueprint for one test, leased when first looked up.

    Those that the test is known to need are leased before it begins, in the one order of all tests.
    """

    def __init__(self, lending: Lending, request: pytest.FixtureRequest, leases: ExitStack) -> None:
        self._lending = lending
        self._request = request
        self._leases = leases
        self._leased: dict[str, Database] = {}
        # With both asked for before the test began, it is these that give the test's ``main``.
        self._gives_main = "pg_databases" in getattr(request.node, "fixturenames", ())

    def lease(self, blueprints: Iterable[str]) -> None:
        """Lease those that are not leased yet, so that two tests never wait for each other."""
        for blueprint in in_order(blueprints):
            self[blueprint]

    def __getitem__(self, blueprint: str) -> Database:
        if blueprint not in self._leased:
            self._leased[blueprint] = self._lease(blueprint)
        return self._leased[blueprint]

    def __contains__(self, blueprint: object) -> bool:
        return blueprint in self._lending.blueprints

    def __iter__(self) -> Iterator[str]:
        return iter(self._lending.blueprints)

    def __len__(self) -> int:
        return len(self._lending.blueprints)

    def _lease(self, blueprint: str) -> Database:
        if blueprint == "main" and not self._gives_main and "pg" in self._request.fixturenames:
            database: Database = self._request.getfixturevalue("pg")
            return database
        return self._leases.enter_context(self._lending.lend(self._request, blueprint))


def databases_of(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Give the databases of a test, those leased that it is known to need."""
    with ExitStack() as leases:
        databases = Databases(request.config.stash[RUN].lending, request, leases)
        with_pg = ("main",) if "pg" in getattr(request.node, "fixturenames", ()) else ()
        databases.lease((*wishes(request.node).databases, *with_pg))
        yield databases
