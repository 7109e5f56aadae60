"""What an OpenTelemetry reader gets of tenant pools."""

import asyncio
import subprocess
import sys
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from freshpg.core.errors import TenantWaitTimeout, UsageInvalid
from freshpg.postgres.admin import Admin
from freshpg.tenants import AsyncTenantPools, TenantLimits, TenantPools
from freshpg.tenants.metrics import instrument

POOL, STATE = "db.client.connection.pool.name", "db.client.connection.state"
CONVENTION = {
    "db.client.connection.count": "{connection}",
    "db.client.connection.create_time": "s",
    "db.client.connection.idle.max": "{connection}",
    "db.client.connection.idle.min": "{connection}",
    "db.client.connection.max": "{connection}",
    "db.client.connection.pending_requests": "{request}",
    "db.client.connection.timeouts": "{timeout}",
    "db.client.connection.use_time": "s",
    "db.client.connection.wait_time": "s",
}
OURS = {
    "freshpg.tenants.evictions": "{pool}",
    "freshpg.tenants.limit_hits": "{request}",
    "freshpg.tenants.pools": "{pool}",
    "freshpg.tenants.stale": "{connection}",
}


class Readings:
    """A reader's metrics, by name."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    @property
    def metrics(self):
        data = self.reader.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return {metric.name: metric for metric in found}

    def points(self, name):
        metric = self.metrics.get(name)
        return metric.data.data_points if metric else ()

    def values(self, name, key=POOL):
        return {point.attributes[key]: point.value for point in self.points(name)}

    def counts(self, name):
        return {point.attributes[POOL]: point.count for point in self.points(name)}

    def states(self, pool):
        return {
            point.attributes[STATE]: point.value
            for point in self.points("db.client.connection.count")
            if point.attributes[POOL] == pool
        }


@pytest.fixture
def readings():
    found = Readings()
    yield found
    found.provider.shutdown()


@pytest.fixture(scope="module")
def addresses(server):
    with Admin.connect(server) as admin:
        for name in ("wm", "wm_acme", "wm_globex"):
            admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
    where = f"host={server.host} user={server.user}"
    return {"tenants": f"{where} dbname=wm_{{tenant}}", "system": f"{where} dbname=wm"}


@pytest.fixture
def pools(addresses):
    limits = TenantLimits(max_pools=1, max_per_tenant=1, max_connections=20, system_connections=2)
    with TenantPools(**addresses, limits=limits, name="shop") as pools:
        yield pools


def test_names_and_units_are_those_of_the_conventions(pools, readings):
    instrument(pools, meter_provider=readings.provider)
    pools.execute("acme", "SELECT 1")
    pools.execute("globex", "SELECT 1")
    with pools.tenant("acme"), pytest.raises(TenantWaitTimeout):
        pools.tenant("acme", timeout=0.0).__enter__()

    assert {name: metric.unit for name, metric in readings.metrics.items()} == CONVENTION | OURS


def test_connections_are_counted_by_state(pools, readings):
    instrument(pools, meter_provider=readings.provider)
    with pools.tenant("acme"):
        pools.execute_system("SELECT 1")
        held = readings.states("shop"), readings.states("shop.system")

    assert held == (
        {"idle": 0, "used": 1, "opening": 0},
        {"idle": 1, "used": 0, "opening": 0},
    )
    assert readings.states("shop") == {"idle": 1, "used": 0, "opening": 0}


def test_bounds_are_those_of_the_limits(pools, readings):
    instrument(pools, meter_provider=readings.provider)
    pools.execute_system("SELECT 1")

    assert readings.values("db.client.connection.max") == {"shop": 18, "shop.system": 2}
    assert readings.values("db.client.connection.idle.max") == {"shop": 18, "shop.system": 2}
    assert set(readings.values("db.client.connection.idle.min").values()) == {0}


def test_times_are_recorded_once_each(pools, readings):
    instrument(pools, meter_provider=readings.provider)
    for _ in range(3):
        pools.execute("acme", "SELECT 1")

    assert readings.counts("db.client.connection.create_time") == {"shop": 1}
    assert readings.counts("db.client.connection.wait_time") == {"shop": 3}
    assert readings.counts("db.client.connection.use_time") == {"shop": 3}
    (created,) = readings.points("db.client.connection.create_time")
    (waited,) = readings.points("db.client.connection.wait_time")
    assert 0 < created.sum <= waited.sum


def test_waiting_callers_and_timeouts_are_counted(pools, readings):
    instrument(pools, meter_provider=readings.provider)
    with pools.tenant("acme"):
        waiting = threading.Thread(target=pools.execute, args=("acme", "SELECT 1"))
        waiting.start()
        while not pools.stats().waiting:
            pass
        pending = readings.values("db.client.connection.pending_requests")
        with pytest.raises(TenantWaitTimeout):
            pools.tenant("acme", timeout=0.0).__enter__()
    waiting.join(30)

    assert pending["shop"] == 1
    assert readings.values("db.client.connection.pending_requests")["shop"] == 0
    assert readings.values("db.client.connection.timeouts") == {"shop": 1}


def test_evictions_and_limit_hits_have_metrics_of_our_own(pools, readings):
    instrument(pools, meter_provider=readings.provider)
    pools.execute("acme", "SELECT 1")
    pools.execute("globex", "SELECT 1")
    with pools.tenant("globex"), pytest.raises(TenantWaitTimeout):
        pools.tenant("acme", timeout=0.0).__enter__()

    assert readings.values("freshpg.tenants.evictions") == {"shop": 1}
    assert readings.values("freshpg.tenants.pools") == {"shop": 1}
    assert readings.values("freshpg.tenants.limit_hits", "freshpg.tenants.limit") == {
        "max_pools": 1
    }


def test_tenants_are_told_apart_on_request(addresses, readings):
    with TenantPools(**addresses, name="shop") as pools:
        instrument(pools, meter_provider=readings.provider, per_tenant=True)
        pools.execute("acme", "SELECT 1")
        with pools.tenant("globex"):
            states = readings.states("shop/acme"), readings.states("shop/globex")

    assert states == (
        {"idle": 1, "used": 0, "opening": 0},
        {"idle": 0, "used": 1, "opening": 0},
    )
    assert readings.counts("db.client.connection.use_time") == {"shop/acme": 1, "shop/globex": 1}


def test_pools_of_tasks_are_measured_alike(addresses, readings):
    async def scenario():
        async with AsyncTenantPools(**addresses, name="tasks") as pools:
            instrument(pools, meter_provider=readings.provider)
            await asyncio.gather(*(pools.execute("acme", "SELECT 1") for _ in range(3)))
            async with pools.tenant("acme"):
                # A reader's own thread.
                return await asyncio.to_thread(readings.states, "tasks")

    states = asyncio.run(scenario())

    assert states["used"] == 1
    assert readings.counts("db.client.connection.wait_time") == {"tasks": 4}
    assert readings.counts("db.client.connection.use_time") == {"tasks": 4}


def test_two_managers_are_measured_side_by_side(addresses, readings):
    with (
        TenantPools(**addresses, name="first") as first,
        TenantPools(**addresses, name="second") as second,
    ):
        for pools in (first, second):
            instrument(pools, meter_provider=readings.provider)
            pools.execute("acme", "SELECT 1")
        names = {point.attributes[POOL] for point in readings.points("db.client.connection.count")}

    assert names >= {"first", "second"}
    assert readings.counts("db.client.connection.use_time") == {"first": 1, "second": 1}


def test_closed_instruments_measure_no_more(pools, readings):
    instruments = instrument(pools, meter_provider=readings.provider)
    pools.execute("acme", "SELECT 1")
    instruments.close()
    instruments.close()
    pools.execute("acme", "SELECT 1")

    assert pools.observer is None
    assert readings.points("db.client.connection.count") == ()
    assert readings.counts("db.client.connection.use_time") == {"shop": 1}


def test_pools_are_measured_by_one_at_a_time(pools, readings):
    instruments = instrument(pools, meter_provider=readings.provider)
    with pytest.raises(UsageInvalid, match="measured already"):
        instrument(pools, meter_provider=readings.provider)
    instruments.close()
    instrument(pools, meter_provider=readings.provider)
    pools.execute("acme", "SELECT 1")

    assert readings.states("shop")["idle"] == 1


def test_measuring_keeps_no_pools_alive(addresses, readings):
    pools = TenantPools(**addresses)
    instrument(pools, meter_provider=readings.provider)
    del pools

    assert readings.points("db.client.connection.count") == ()


def test_nothing_of_opentelemetry_is_imported_before_it_is_wanted():
    script = (
        "import sys, freshpg.tenants.metrics, freshpg.tenants.pools, freshpg.tenants.aio;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    assert said == "[]\n"


def test_without_the_package_it_says_what_to_install(pools, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)

    with pytest.raises(UsageInvalid, match=r"freshpg\[otel\]"):
        instrument(pools)
