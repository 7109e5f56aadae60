"""``--pg-strict`` fails a test that leaves something open in its tenants' databases."""

import pytest

UNTIDY = """
import psycopg

@pytest.fixture(scope="module")
def beside():
    opened = []
    yield opened
    for connection in opened:
        connection.close()

def test_lock_on_a_pooled_connection(pg_tenants):
    pg_tenants.ensure_database("acme")
    with pg_tenants.tenant("acme") as connection:
        connection.execute("SELECT pg_advisory_lock(7)")

def test_transaction_beside_the_pool(beside, pg_tenants):
    pg_tenants.ensure_database("acme")
    beside.append(psycopg.connect(**pg_tenants.ground.tenant_address("acme").keywords()))
    beside[0].execute("SELECT 'beside'")

def test_tidy(pg_tenants):
    pg_tenants.ensure_database("acme")
    with psycopg.connect(**pg_tenants.ground.tenant_address("acme").keywords()) as connection:
        connection.execute("INSERT INTO item (name) VALUES ('x')")
    pg_tenants.execute("acme", "SELECT 1")
    pg_tenants.execute_system("SELECT 1")
"""

SHARED = """
@pytest.fixture(scope="module")
def at_work(pg_tenants_module):
    pg_tenants_module.ensure_database("acme")
    with pg_tenants_module.tenant("acme") as connection:
        connection.execute("SELECT 'for all'")
        yield connection

def test_forgets(pg_tenants_module, at_work):
    checkout = pg_tenants_module.tenant("acme")
    pytest.held.append(checkout.__enter__())
    pytest.held[0].execute("SELECT 'lost'")
    pytest.checkout = checkout

def test_innocent(pg_tenants_module, at_work):
    pg_tenants_module.execute("acme", "SELECT 1")

def test_end(pg_tenants_module):
    pytest.checkout.__exit__(None, None, None)
"""


def test_what_is_open_in_tenants_databases_fails_the_test_and_names_the_line(tenants):
    tenants.tests(UNTIDY)

    outcome = tenants.run("--pg-strict")

    assert outcome.counts == {"passed": 3, "errors": 2}, outcome.text
    assert outcome.text.count("FPG-D05 a test left something open") >= 2
    for words in (
        "tenant 'acme'",
        "1 advisory lock",
        "test_it.py:14",
        "idle in transaction",
        "SELECT 'beside'",
    ):
        assert words in outcome.text


def test_without_it_the_same_tests_pass(tenants):
    tenants.tests(UNTIDY)

    outcome = tenants.run()

    assert outcome.counts == {"passed": 3}, outcome.text


@pytest.mark.usefixtures("held")
def test_in_pools_that_tests_share_the_guilty_one_fails_and_not_the_last(tenants):
    tenants.tests(SHARED)

    outcome = tenants.run("-p", "no:randomly", "--pg-strict")

    assert outcome.counts == {"passed": 3, "errors": 1}, outcome.text
    assert "ERROR test_it.py::test_forgets" in outcome.text
    for words in ("FPG-D05", "test_it.py:12", "idle in transaction: SELECT 'lost'"):
        assert words in outcome.text
    assert "for all" not in outcome.text.partition("short test summary")[0].partition("seen:")[2]


@pytest.mark.usefixtures("held")
def test_a_connection_that_is_not_back_is_told_as_that(tenants):
    tenants.tests("""
def test_forgets(pg_tenants):
    pg_tenants.ensure_database("acme")
    pytest.held.append(pg_tenants.tenant("acme").__enter__())
    pytest.held[0].execute("SELECT 'lost'")
""")

    outcome = tenants.run("--pg-strict")

    assert outcome.counts == {"passed": 1, "errors": 1}, outcome.text
    for words in ("FPG-P11", "test_it.py:5", "SELECT 'lost'"):
        assert words in outcome.text


@pytest.mark.slow
def test_pools_of_tasks_and_several_by_name_are_looked_at_alike(tenants):
    tenants.tests("""
@pytest.mark.asyncio
async def test_tasks(pg_tenants_async):
    await pg_tenants_async.ensure_database("acme")
    async with pg_tenants_async.tenant("acme") as connection:
        await connection.execute("SELECT pg_advisory_lock(7)")

def test_several(pg_tenants_manager):
    pools = pg_tenants_manager.get("shop")
    with pools.system() as connection:
        connection.execute("SELECT pg_advisory_lock(7)")
""")

    outcome = tenants.run("--pg-strict")

    assert outcome.counts == {"passed": 2, "errors": 2}, outcome.text
    assert "tenant 'acme'" in outcome.text
    assert "the system database: pid" in outcome.text
    for words in ("last taken from its pool at", "test_it.py:6", "test_it.py:11"):
        assert words in outcome.text
