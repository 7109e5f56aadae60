"""The mapping behind ``pg_databases``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from freshpg.pytest_plugin.fixtures import gives_main
from freshpg.sets import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

    import pytest

    from freshpg.handle import Database
    from freshpg.pytest_plugin.run import Run


class Databases(Mapping[str, "Database"]):
    """One database of each blueprint for one test, leased when first looked up.

    Those that the test is known to need are leased before it begins, in the one order of all tests.
    """

    def __init__(self, run: Run, request: pytest.FixtureRequest, leases: ExitStack) -> None:
        self._run = run
        self._request = request
        self._leases = leases
        self._leased: dict[str, Database] = {}
        self._gives_main = gives_main(request)

    def lease(self, blueprints: Iterable[str]) -> None:
        """Lease those that are not leased yet, so that two tests never wait for each other."""
        for blueprint in in_order(blueprints):
            self[blueprint]

    def __getitem__(self, blueprint: str) -> Database:
        if blueprint not in self._leased:
            self._leased[blueprint] = self._lease(blueprint)
        return self._leased[blueprint]

    def __contains__(self, blueprint: object) -> bool:
        return blueprint in self._run.blueprints

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.blueprints)

    def __len__(self) -> int:
        return len(self._run.blueprints)

    def _lease(self, blueprint: str) -> Database:
        if blueprint == "main" and not self._gives_main and "pg" in self._request.fixturenames:
            database: Database = self._request.getfixturevalue("pg")
            return database
        return self._leases.enter_context(self._run.lend(self._request, blueprint))
