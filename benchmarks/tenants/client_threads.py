"""A client of its own: what it takes to serve very many tenants, of which few are used at a time. Prints JSON.

A psycopg_pool for each is opened and not used, which is its best case; tenant pools query every tenant once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.tenants.town import PER_TENANT, Town, names
from freshpg.tenants import TenantLimits, TenantPools

SECONDS = 60.0
LIMIT = 40


def main() -> None:
    """Open pools as long as there are threads to be had, and close them."""
    town, way, count = Town.told(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    before = processes.private()
    threads = processes.threads()
    began = time.perf_counter()
    opened, served, why = WAYS[way](town, count)
    taken = time.perf_counter() - began
    facts: dict[str, Any] = {
        "pools": served,
        "why": why,
        "threads": processes.threads() - threads,
        "client": processes.private() - before,
        "open": taken,
    }
    cpu = time.process_time()
    time.sleep(1.0)
    facts["cpu"] = time.process_time() - cpu
    began = time.perf_counter()
    for pool in opened:
        pool.close()
    facts["close"] = time.perf_counter() - began
    print(json.dumps(facts))


def _bare(town: Town, count: int, **given: Any) -> tuple[list[Any], int, str]:
    from psycopg_pool import ConnectionPool

    opened: list[Any] = []
    most = _threads_to_be_had()
    began = time.perf_counter()
    for tenant in names(count):
        pool = ConnectionPool(town.of(tenant), min_size=0, max_size=PER_TENANT, open=False, **given)
        if (len(opened) + 1) * (pool.num_workers + 1) > most:
            return (
                opened,
                len(opened),
                f"half of the threads that the system has are in use ({most})",
            )
        if time.perf_counter() - began > SECONDS:
            return opened, len(opened), f"opening took more than {SECONDS:.0f} s"
        try:
            pool.open()
        except RuntimeError as error:
            return opened, len(opened), str(error)
        opened.append(pool)
    return opened, len(opened), ""


def _one_worker(town: Town, count: int) -> tuple[list[Any], int, str]:
    return _bare(town, count, num_workers=1)


def _ours(town: Town, count: int) -> tuple[list[Any], int, str]:
    # As many databases as there are tenants would not fit: some are shared, each pool takes one for its own.
    shared = int(sys.argv[4])
    pools = TenantPools(
        lambda tenant: town.of(f"t{int(tenant[1:]) % shared}"),
        limits=TenantLimits(max_connections=LIMIT, system_connections=2),
        **town.options(),
    )
    for tenant in names(count):
        pools.fetch_one(tenant, "SELECT 1")
    return [pools], count, ""


def _threads_to_be_had() -> int:
    """Half of what the system has left, so that everybody else can go on."""
    import resource

    bounds = [
        int(Path("/proc/sys/kernel", name).read_text()) for name in ("pid_max", "threads-max")
    ]
    own = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if os.geteuid() and own != resource.RLIM_INFINITY:
        bounds.append(own)
    running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    return (min(bounds) - running) // 2


WAYS: dict[str, Any] = {"bare": _bare, "one": _one_worker, "ours": _ours}

if __name__ == "__main__":
    main()
