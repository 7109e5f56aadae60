"""Pools for threads."""

import pytest
from tenants_world import eventually

from freshpg import TenantPools


@pytest.fixture
def make_pools(ground):
    """Return a maker of pools; at the end all are closed, and the server has no connection of theirs."""
    made = []

    def make(*, ground=ground, **options):
        chosen = ground.options(**options)
        pools = TenantPools(chosen.pop("tenants", ground.tenants), **chosen)
        pools.application_name = chosen["application_name"]
        made.append((pools, ground))
        return pools

    yield make
    for pools, there in made:
        pools.close()
        assert there.settled(pools.application_name, []), "connections are left"


@pytest.fixture
def pools(make_pools):
    return make_pools()


@pytest.fixture
def waiting():
    """Wait until so many callers are in a queue of pools."""

    def wait(pools, callers):
        assert eventually(lambda: pools.stats().waiting == callers)

    return wait
