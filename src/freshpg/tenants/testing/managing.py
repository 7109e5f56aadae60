"""``TestPoolManager``: several managers of tenant pools in one test, by name, that do not see each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from freshpg.handle import raise_all
from freshpg.tenants.testing.pools import TestTenantPools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from freshpg.manager import DatabaseManager


class TestPoolManager:
    """Hands out ``TestTenantPools`` by name, and ends them all.

    Args:
        manager: Where databases come from.
        test: Who uses them, for errors.
        options: What all of them are made with; see ``TestTenantPools``.
    """

    __test__ = False

    def __init__(
        self, manager: DatabaseManager | None = None, *, test: str = "", **options: Any
    ) -> None:
        self._manager = manager
        self._test = test
        self._options = options
        self._pools: dict[str, TestTenantPools] = {}

    @property
    def pools(self) -> Mapping[str, TestTenantPools]:
        """Those that are open, by name, in the order they were made."""
        return dict(self._pools)

    def get(self, name: str = "default", **options: Any) -> TestTenantPools:
        """Return the pools of a name, made when it is first asked for, with ``options`` of their own.

        Raises:
            FreshpgError: They cannot be made; see ``TestTenantPools``.
        """
        pools = self._pools.get(name)
        if pools is None:
            test = f"{self._test} ({name})" if self._test else name
            chosen = {**self._options, **options}
            pools = self._pools[name] = TestTenantPools(self._manager, test=test, **chosen)
        return pools

    def close(self, name: str | None = None) -> None:
        """End the pools of a name, or all, the last one first; again is fine.

        Raises:
            TenantConnectionsLeaked: Connections were still in use. Several of them are raised as a group; all are ended.
        """
        names = list(self._pools) if name is None else [name] if name in self._pools else []
        problems: list[Exception] = []
        for one in reversed(names):
            try:
                self._pools.pop(one).end()
            except Exception as error:  # noqa: BLE001 (raised with the others)
                problems.append(error)
        raise_all(problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
