"""``--pg-keep-failed`` keeps the databases of a failed test's tenants."""

import pytest

pytestmark = pytest.mark.usefixtures("kept_servers_end")

FAILS = """
def test_fails(pg_tenants):
    for tenant in ("acme", "globex"):
        pg_tenants.ensure_database(tenant)
        pg_tenants.execute(tenant, "INSERT INTO item (name) VALUES (%s)", (tenant,))
    pg_tenants.execute_system("INSERT INTO workspace VALUES ('acme')")
    assert False

def test_passes(pg_tenants):
    pg_tenants.ensure_database("acme")
    left = pg_tenants.execute_system("SELECT datname FROM pg_database WHERE datname ~ 'tenantdb'")
    assert sorted(name for (name,) in left if "failed" not in name) == list(pg_tenants.databases.values())
"""


def test_tenants_and_the_system_database_of_a_failed_test_can_be_looked_into(tenants, look_into):
    tenants.tests(FAILS)

    outcome = tenants.run("--pg-keep-failed")

    assert outcome.counts == {"failed": 1, "passed": 1}, outcome.text
    kept = {one.why: one for one in tenants.kept()}
    for tenant in ("acme", "globex"):
        one = kept[f"the test failed, tenant {tenant!r}"]
        assert one.test == "test_it.py::test_fails"
        assert one.name.startswith("ws_test_tenantdb_failed_")
        assert look_into(one, "SELECT name FROM item ORDER BY id") == [("seeded",), (tenant,)]
        assert f"kept: freshpg psql {one.name} (tenant {tenant!r})" in outcome.text
        assert f"freshpg: kept {one.name}, look into it with: freshpg psql" in outcome.text
    system = kept["the test failed"]
    assert f"kept: freshpg psql {system.name} (the system database)" in outcome.text
    assert look_into(system, "SELECT name FROM workspace") == [("acme",)]


def test_nothing_is_kept_unless_asked(tenants):
    tenants.tests(FAILS)

    assert "psql" not in tenants.run().text
    assert tenants.kept() == []


def test_only_so_many_are_kept_and_the_others_are_told_and_dropped(tenants, look_into):
    tenants.write("freshpg.toml", "keep = 2\n" + (tenants.path / "freshpg.toml").read_text())
    tenants.tests("""
@pytest.mark.parametrize("turn", range(2))
def test_it(pg_tenants, turn):
    for number in range(3):
        pg_tenants.ensure_database(f"t{number}")
    assert False
""")

    outcome = tenants.run("-p", "no:randomly", "--pg-keep-failed")

    assert {(one.name, one.test, one.why) for one in tenants.kept()} == {
        ("ws_test_tenantdb_failed_1", "test_it.py::test_it[1]", "the test failed, tenant 't2'"),
        ("ws_test_tenantdb_failed_2", "test_it.py::test_it[1]", "the test failed, tenant 't1'"),
    }
    assert outcome.text.count("not kept: 1 more of tenants; the setting keep") == 2
    asked = "SELECT datname FROM pg_database WHERE datname ~ 'tenantdb' ORDER BY 1"
    assert look_into(tenants.kept()[0], asked) == [
        ("ws_test_tenantdb_failed_1",),
        ("ws_test_tenantdb_failed_2",),
    ]


@pytest.mark.usefixtures("held")
def test_connections_that_the_test_still_has_do_not_stand_in_the_way(tenants, look_into):
    tenants.tests("""
def test_fails(pg_tenants):
    pg_tenants.ensure_database("acme")
    pytest.held.append(pg_tenants.tenant("acme").__enter__())
    pytest.held[0].execute("SELECT 1")
    assert False
""")

    outcome = tenants.run("--pg-keep-failed")

    assert outcome.counts == {"failed": 1, "errors": 1}, outcome.text
    (kept,) = tenants.kept()
    assert look_into(kept, "SELECT name FROM item") == [("seeded",)]


@pytest.mark.slow
def test_every_kind_of_fixture_and_the_marker_keep_them(tenants):
    tenants.tests("""
def test_shared(pg_tenants_module):
    pg_tenants_module.ensure_database("shared")
    assert False

def test_several(pg_tenants_manager):
    pg_tenants_manager.get("shop").ensure_database("several")
    assert False

@pytest.mark.asyncio
async def test_tasks(pg_tenants_async):
    await pg_tenants_async.ensure_database("tasks")
    assert False

@pytest.mark.pg(keep=True)
def test_marked(pg_tenants):
    pg_tenants.ensure_database("marked")

@pytest.mark.pg(keep=False)
def test_unmarked(pg_tenants):
    pg_tenants.ensure_database("unmarked")
    assert False

def test_dropped_itself(pg_tenants):
    pg_tenants.ensure_database("dropped")
    pg_tenants.drop_database("dropped")
    assert False
""")

    outcome = tenants.run("--pg-keep-failed")

    assert outcome.counts == {"failed": 5, "passed": 1}, outcome.text
    assert {one.why for one in tenants.kept()} == {
        "the test failed, tenant 'shared'",
        "the test failed, tenant 'several'",
        "the test failed, tenant 'tasks'",
        "its marker says so, tenant 'marked'",
    }
