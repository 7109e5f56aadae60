"""Several databases in one test: taken in one order, and one that cannot be made harms nobody else."""

import pytest

THREE = """
[databases.main]
name = "shop_test"
migrations = ["schema.sql"]
[databases.events]
name = "shop_events_test"
migrations = ["events.sql"]
[databases.zoo]
name = "shop_zoo_test"
migrations = []
"""


@pytest.fixture
def three(suite):
    suite.write("freshpg.toml", THREE)
    suite.write("events.sql", "CREATE TABLE event (id int);")
    suite.write(
        "conftest.py",
        """
import freshpg, pytest

@pytest.fixture(scope="session", autouse=True)
def told():
    acquire, order = freshpg.DatabaseManager.acquire, []
    def told_acquire(self, blueprint="main", **options):
        order.append(blueprint)
        return acquire(self, blueprint, **options)
    freshpg.DatabaseManager.acquire = told_acquire
    yield order
    freshpg.DatabaseManager.acquire = acquire
""",
    )
    return suite


@pytest.mark.parametrize("names", ["pg, pg_databases", "pg_databases, pg", "pg_conn, pg_databases"])
def test_the_databases_of_a_test_are_taken_in_one_order(three, names):
    three.tests(f"""
@pytest.mark.pg(databases=["zoo", "events"])
def test_it(told, {names}, request):
    assert told == ["events", "main", "zoo"]
    assert pg_databases["main"] is request.getfixturevalue("pg")
""")
    assert three.run().counts == {"passed": 1}


def test_what_is_asked_for_only_later_is_the_same_database_too(three):
    three.tests("""
def test_pg_first(request, told):
    del told[:]
    pg = request.getfixturevalue("pg")
    assert request.getfixturevalue("pg_databases")["main"] is pg
    assert told == ["main"]

def test_pg_last(pg_databases, request, told):
    del told[:]
    main = pg_databases["main"]
    assert request.getfixturevalue("pg") is main
    assert told == ["main"]
""")
    assert three.run().counts == {"passed": 2}


def test_a_blueprint_that_cannot_be_made_fails_only_those_who_need_it_and_is_named(three):
    three.write("events.sql", "CREATE TABLE event (id int);\nCREATE TABEL broken (id int);")
    three.tests("""
def test_main(pg): pass
def test_main_of_the_mapping(pg_databases): pg_databases["main"]
def test_both_by_chance(pg, pg_databases): pg_databases["zoo"]

@pytest.mark.pg(databases=["events"])
def test_events(pg_databases): pass

def test_looked_up(pg_databases): pg_databases["events"]
""")
    outcome = three.run("-p", "no:randomly")
    assert outcome.counts == {"passed": 3, "errors": 1, "failed": 1}
    assert "on:   events.sql:2, of blueprint 'events'" in outcome.text
    assert "events.sql stopped at line 2" in outcome.text


def test_an_event_store_whose_application_is_missing_harms_nobody_else(three):
    three.write("freshpg.toml", THREE.replace("events.sql", "eventsourcing:shop.events:Shop"))
    three.tests("""
def test_main(pg): pass
def test_events(pg_databases): pg_databases["events"]
""")
    outcome = three.run()
    assert outcome.counts == {"passed": 1, "failed": 1}
    assert "on:   eventsourcing:shop.events:Shop, of blueprint 'events'" in outcome.text


@pytest.fixture
def kept_go():
    """End the servers that kept databases hold up."""
    yield
    from freshpg.servers import storage
    from freshpg.servers.keeper.client import Keeper

    with Keeper.connect(storage.keeper_root(), roots=storage.runtime_roots()) as keeper:
        keeper.stop_all(force=True)


@pytest.mark.usefixtures("kept_go")
def test_a_kept_database_of_a_set_is_kept(three):
    three.tests("""
@pytest.mark.pg(databases=["events"], keep=True)
def test_it(pg, pg_databases): pass
""")
    three.run()
    assert {kept.name.split("_failed")[0] for kept in three.kept()} == {
        "shop_test",
        "shop_events_test",
    }
