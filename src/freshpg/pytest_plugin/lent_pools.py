"""Tenant pools that are out to tests: what ``--pg-keep-failed`` keeps of them, and ``--pg-strict`` finds in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from freshpg.core.errors import FreshpgError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pytest

    from freshpg.tenants.testing import TestAsyncTenantPools, TestTenantPools
    from freshpg.tenants.testing.tidiness import Tidiness

    Pools = TestTenantPools | TestAsyncTenantPools


class LentPools(NamedTuple):
    """Pools that are out: to which test, class, module or session, through which fixture.

    Attributes:
        open: Returns those there are by now.
        node: Whose they are.
        fixture: What gave them.
        is_shared: Whether other tests have them as well.
    """

    open: Callable[[], Iterable[Pools]]
    node: pytest.Item | pytest.Collector
    fixture: str
    is_shared: bool

    def used_by(self, item: pytest.Item) -> bool:
        """Whether a test has them."""
        fixtures = getattr(item, "fixturenames", ())
        return self.fixture in fixtures and self.node in item.listchain()


class PoolsOut:
    """The pools that are out in one process."""

    def __init__(self) -> None:
        self._lent: list[LentPools] = []
        self._watched: list[Tidiness] = []

    @contextmanager
    def lending(self, lent: LentPools) -> Iterator[None]:
        """Know pools for as long as they are out."""
        self._lent.append(lent)
        try:
            yield
        finally:
            self._lent.remove(lent)

    def keep(self, item: pytest.Item, why: str) -> Iterator[str]:
        """Keep databases of a test's tenants; yield lines that say how to look into them."""
        for pools in (pools for lent in self._of(item) for pools in lent.open()):
            try:
                kept = pools.keep(why)
            except FreshpgError as error:
                yield f"not kept: {error}"
                continue
            for tenant, name in kept.items():
                whose = "the system database" if tenant is None else f"tenant {tenant!r}"
                yield f"kept: freshpg psql {name} ({whose})"
            rest = len(pools.databases) - len(kept.keys() - {None})
            if rest:
                yield f"not kept: {rest} more of tenants; the setting keep says how many may be"

    def watch(self, item: pytest.Item) -> None:
        """Note what is open in pools that a test shares with others."""
        from freshpg.tenants.testing.tidiness import Tidiness

        shared = (lent for lent in self._of(item) if lent.is_shared)
        self._watched = [Tidiness(pools) for lent in shared for pools in lent.open()]
        for tidiness in self._watched:
            tidiness.pardon_what_is_open()

    def require_tidy(self, item: pytest.Item) -> None:
        """Look at pools that a test shared, as far as they are there still.

        Raises:
            TestUntidy: It left something open in their databases.
        """
        watched, self._watched = self._watched, []
        for tidiness in watched:
            tidiness.require(item.nodeid)

    def _of(self, item: pytest.Item) -> list[LentPools]:
        return [lent for lent in self._lent if lent.used_by(item)]


def end_strictly(lent: LentPools, test: str, end: Callable[[], object]) -> None:
    """End pools of one test, and fail it when it left something open in their databases.

    Raises:
        TenantConnectionsLeaked: Connections were not back.
        TestUntidy: Somebody was in the middle of something, or held a lock.
    """
    from freshpg.tenants.testing.tidiness import Tidiness

    problem: FreshpgError | None = None
    try:
        for pools in lent.open():
            Tidiness(pools).require(test)
    except FreshpgError as error:
        problem = error
    # What it raises says more: who holds which connection.
    end()
    if problem is not None:
        raise problem
