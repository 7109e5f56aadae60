"""Helpers by the names people look for."""

from __future__ import annotations

import asyncio
import threading

import psycopg
import pytest

from freshpg.core.errors import TenantDatabaseMissing, WaitTimedOut
from freshpg.postgres.admin import Admin
from freshpg.tenants.testing import (
    TestPoolManager,
    measure_operation_time,
    wait_for_database_ready,
)


class SteppingClock:
    """Moves on by a second whenever it is looked at."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_an_operation_is_measured_as_often_as_asked_and_its_result_returned():
    calls = []

    measured = measure_operation_time(
        lambda: calls.append(0) or len(calls), repeat=3, clock=SteppingClock()
    )

    assert measured.times == (1.0, 1.0, 1.0)
    assert (measured.best, measured.median, measured.worst, measured.total) == (1.0, 1.0, 1.0, 3.0)
    assert measured.result == 3
    assert "of 3" in str(measured)


def test_an_asynchronous_operation_is_awaited():
    async def operation():
        await asyncio.sleep(0)
        return "done"

    async def measure():
        return await measure_operation_time(operation, repeat=2, clock=SteppingClock())

    measured = asyncio.run(measure())

    assert (measured.result, len(measured.times)) == ("done", 2)


def test_what_an_operation_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        measure_operation_time(lambda: 1 / 0)


def test_a_database_that_answers_is_ready(pools):
    pools.ensure_database("acme")

    wait_for_database_ready(pools, "acme")
    wait_for_database_ready(pools)
    wait_for_database_ready(pools.ground.tenant_address("acme"))
    wait_for_database_ready(pools.ground.tenant_address("acme").url())


def test_a_tenant_without_a_database_is_not_waited_for(pools):
    with pytest.raises(TenantDatabaseMissing, match="create_tenants"):
        wait_for_database_ready(pools, "acme")


def test_one_that_lets_nobody_in_is_waited_for(pools, manager):
    pools.ensure_database("acme")
    name = pools.databases["acme"]
    with Admin.connect(manager._holding.running.coordination) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        opened = threading.Event()

        class OpeningClock(SteppingClock):
            def sleep(self, seconds):
                super().sleep(seconds)
                if not opened.is_set():
                    admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
                    opened.set()

        wait_for_database_ready(pools, "acme", clock=OpeningClock())

    assert opened.is_set()


def test_one_that_never_answers_is_told_with_what_was_seen(tmp_path):
    with pytest.raises(WaitTimedOut, match="connection to server") as caught:
        wait_for_database_ready(
            f"postgresql://me:s3cr3t@/app?host={tmp_path}", deadline=5, clock=SteppingClock()
        )

    assert "s3cr3t" not in str(caught.value)


def test_pools_are_handed_out_by_name_and_do_not_see_each_other(manager, names_of):
    with TestPoolManager(manager, test="this test") as tests:
        billing, shop = tests.get("billing"), tests.get("shop")
        assert tests.get("billing") is billing
        assert list(tests.pools) == ["billing", "shop"]
        billing.ensure_database("acme")
        with pytest.raises(TenantDatabaseMissing), shop.tenant("acme"):
            pass
        shop.ensure_database("acme")
        tests.close("billing")
        assert shop.execute("acme", "SELECT 1") == [(1,)]
        assert tests.get("billing") is not billing

    assert not tests.pools
    assert not {name for name in names_of(manager) if "tenantdb" in name}


def test_all_pools_are_ended_and_every_leak_told(manager, names_of):
    tests = TestPoolManager(manager, test="this test")
    held = []
    for name in ("billing", "shop"):
        tests.get(name).ensure_database("acme")
        held.append(tests.get(name).tenant("acme"))
        held[-1].__enter__()

    with pytest.raises(ExceptionGroup) as caught:
        tests.close()

    assert [error.on for error in caught.value.exceptions] == [
        "this test (shop)",
        "this test (billing)",
    ]
    assert not {name for name in names_of(manager) if "tenantdb" in name}
    for checkout in held:
        checkout.__exit__(psycopg.OperationalError, None, None)
