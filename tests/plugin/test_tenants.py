"""The fixtures of tenant pools, in a user's suite."""

from __future__ import annotations

import pytest


def test_every_test_has_its_own_tenants_and_so_has_every_manager_of_pools(tenants):
    tenants.tests("""
@pytest.mark.parametrize("turn", [1, 2])
def test_one(pg_tenants, turn):
    assert pg_tenants.ensure_database("acme")
    assert pg_tenants.execute_system("SELECT count(*) FROM workspace") == [(0,)]
    pg_tenants.execute_system("INSERT INTO workspace VALUES ('acme')")
    pg_tenants.execute("acme", "INSERT INTO item (name) VALUES ('mine')")
    assert pg_tenants.execute("acme", "SELECT name FROM item") == [("seeded",), ("mine",)]

def test_by_name(pg_tenants_manager):
    billing, shop = pg_tenants_manager.get("billing"), pg_tenants_manager.get("shop")
    assert billing.ensure_database("acme")
    assert shop.ensure_database("acme")
""")

    assert tenants.run().counts == {"passed": 3}


def test_pg_is_the_system_database_of_the_test(tenants):
    tenants.tests("""
def test_with_pg(pg_tenants, pg_conn):
    pg_tenants.execute_system("INSERT INTO workspace VALUES ('acme')")
    assert pg_conn.execute("SELECT name FROM workspace").fetchone() == ("acme",)

def test_with_several(pg_tenants, pg_databases):
    pg_tenants.execute_system("INSERT INTO workspace VALUES ('acme')")
    with pg_databases["main"].connect() as connection:
        assert connection.execute("SELECT name FROM workspace").fetchone() == ("acme",)

@pytest.mark.pg(isolation="rollback")
def test_a_level_with_one_connection_is_not_for_pools(pg_tenants, pg):
    pg_tenants.execute_system("INSERT INTO workspace VALUES ('acme')")
    with pg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM workspace").fetchone() == (0,)
""")

    assert tenants.run().counts == {"passed": 3}


@pytest.mark.slow
def test_a_module_may_share_its_tenants_and_a_test_has_others_beside(tenants):
    tenants.tests("""
def test_first(pg_tenants_module):
    assert pg_tenants_module.ensure_database("acme")

def test_second(pg_tenants_module, pg_tenants):
    assert not pg_tenants_module.ensure_database("acme")
    assert pg_tenants.ensure_database("acme")

class TestIt:
    def test_third(self, pg_tenants_class, pg_tenants_package, pg_tenants_run):
        for pools in (pg_tenants_class, pg_tenants_package, pg_tenants_run):
            assert pools.ensure_database("acme")
""")

    assert tenants.run("-p", "no:randomly").counts == {"passed": 3}


@pytest.mark.usefixtures("held")
def test_a_test_that_keeps_a_connection_fails_and_says_where_and_leaves_no_database(tenants):
    tenants.tests("""
def test_forgets(pg_tenants):
    pg_tenants.ensure_database("acme")
    pytest.held.append(pg_tenants.tenant("acme").__enter__())
    pytest.held[0].execute("SELECT 'lost'")

def test_fails(pg_tenants):
    pg_tenants.ensure_database("acme")
    pg_tenants.execute("acme", "SELECT 1")
    assert False

def test_next(pg_tenants):
    left = pg_tenants.execute_system("SELECT datname FROM pg_database WHERE datname ~ 'tenantdb'")
    assert not left
    assert pg_tenants.ensure_database("acme")
""")

    outcome = tenants.run("-p", "no:randomly")

    assert outcome.counts == {"passed": 2, "failed": 1, "errors": 1}
    for part in ("FPG-P11", "test_it.py::test_forgets", "test_it.py:5", "SELECT 'lost'"):
        assert part in outcome.text


@pytest.mark.slow
def test_asynchronous_tests_have_them_in_any_loop_and_a_conftest_chooses_for_all(tenants):
    tenants.write(
        "conftest.py",
        """
import pytest

@pytest.fixture(scope="session")
def pg_tenants_options():
    return {"tenant": "main", "kwargs": {"autocommit": True}}
""",
    )
    tenants.tests("""
pytestmark = pytest.mark.asyncio

async def test_one(pg_tenants_async):
    assert await pg_tenants_async.ensure_database("acme")
    assert await pg_tenants_async.execute("acme", "SELECT name FROM workspace") == []

@pytest.mark.asyncio(loop_scope="module")
async def test_two(pg_tenants_async):
    assert await pg_tenants_async.ensure_database("acme")
    async with pg_tenants_async.tenant("acme") as connection:
        assert connection.autocommit
""")

    assert tenants.run().counts == {"passed": 2}


@pytest.mark.slow
def test_a_suite_without_tenants_loads_nothing_of_them(tenants):
    tenants.tests("""
import sys

def test_it(pg):
    assert not [name for name in sys.modules if name.startswith(("freshpg.tenan",))]
""")

    assert tenants.run_apart().counts == {"passed": 1}
