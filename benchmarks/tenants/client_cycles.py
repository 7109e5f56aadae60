"""A client of its own: pools and a tenant's database made and removed over and over. Prints JSON, one sample every few cycles."""

from __future__ import annotations

import gc
import json
import sys

from benchmarks import processes
from benchmarks.tenants.town import Town


def main() -> None:
    """Tell private memory, descriptors, threads and backends along the way."""
    town, cycles, every = Town.told(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    found = []
    for cycle in range(1, cycles + 1):
        _cycle(town, f"cycle{cycle % 7}")
        if cycle % every == 0:
            found.append(_sample(town, cycle))
    print(json.dumps(found))


def _cycle(town: Town, tenant: str) -> None:
    with town.pools() as pools:
        pools.ensure_database(tenant)
        pools.execute(tenant, "INSERT INTO item_1 (name) VALUES ('x')")
        pools.fetch_one_system("SELECT 1")
        pools.drop_database(tenant)


def _sample(town: Town, cycle: int) -> dict[str, float]:
    gc.collect()
    return {
        "cycle": cycle,
        "memory": 1024 * processes.private(),
        "descriptors": processes.descriptors(),
        "threads": processes.threads(),
        "backends": _backends(town),
    }


def _backends(town: Town) -> int:
    """Connections left of a cycle: a backend needs a moment to end after its socket did."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'freshpg tenants%'"
    with town.admin() as admin:
        left = 0
        for _ in range(2000):
            left = int((admin.execute(asked).fetchone() or (0,))[0])
            if not left:
                break
        return left


if __name__ == "__main__":
    main()
