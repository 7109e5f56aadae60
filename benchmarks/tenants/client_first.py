"""A client of its own: the first query of one tenant after the other, each beside a bare connection's. Prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.tenants.beside import bare_connections
from benchmarks.tenants.town import Town, names
from freshpg.tenants import TenantLimits, TenantPools

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Tell the milliseconds of each, in order."""
    town, count, databases, connections = Town.told(sys.argv[1]), *map(int, sys.argv[2:])
    # As many databases as there are tenants would not fit: some are shared, each pool takes one for its own.
    pools = TenantPools(
        lambda tenant: town.of(f"t{int(tenant[1:]) % databases}"),
        limits=TenantLimits(max_connections=connections, system_connections=2),
        **town.options(),
    )
    ours, bare = [], []
    with pools, bare_connections(town, connections - 2) as beside:

        def plain(number: int) -> None:
            connection = beside.opened(f"t{number % databases}")
            connection.execute("SELECT 1").fetchone()
            connection.commit()

        for number, tenant in enumerate(names(count)):
            ours.append(_taken(pools.fetch_one, tenant, "SELECT 1"))
            bare.append(_taken(plain, number))
    print(json.dumps({"ours": ours, "bare": bare}))


def _taken(act: Callable[..., Any], *given: Any) -> float:
    began = time.perf_counter()
    act(*given)
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
