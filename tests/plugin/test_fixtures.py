"""What a test gets by naming a fixture."""

import pytest


def test_a_committed_row_is_gone_for_the_next_test(suite):
    suite.tests("""
@pytest.mark.parametrize("turn", range(3))
def test_insert(pg, turn):
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
    with pg.connect() as connection:
        assert connection.execute("SELECT id, name FROM item ORDER BY id").fetchall() == [(1, "seeded"), (2, "mine")]
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 3}
    assert outcome.handed_out == 3


def test_several_scopes_in_one_test_are_distinct_databases(suite):
    suite.write("pkg/__init__.py", "")
    suite.tests(
        """
class TestIt:
    def test_it(self, pg, pg_class, pg_module, pg_package, pg_run):
        assert len({one.name for one in (pg, pg_class, pg_module, pg_package, pg_run)}) == 5
        for one in (pg, pg_class, pg_module, pg_package, pg_run):
            with one.connect() as connection:
                assert connection.execute("SELECT name FROM item").fetchall() == [("seeded",)]
""",
        "pkg/test_it.py",
    )
    assert suite.run().counts == {"passed": 1}


@pytest.mark.parametrize(
    "fixture, seen_by_the_others",
    [("pg", "1"), ("pg_class", "2"), ("pg_module", "4"), ("pg_run", "6")],
)
def test_tests_of_one_scope_share_its_database(suite, fixture, seen_by_the_others):
    module = f"""
def insert(db):
    with db.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        return connection.execute("SELECT count(*) FROM item WHERE name = 'mine'").fetchone()[0]

seen = []

class TestA:
    def test_1(self, {fixture}): seen.append(insert({fixture}))
    def test_2(self, {fixture}): seen.append(insert({fixture}))

class TestB:
    def test_3(self, {fixture}): seen.append(insert({fixture}))
    def test_4(self, {fixture}): seen.append(insert({fixture})); print("most", max(seen))
"""
    suite.tests(module, "test_one.py")
    suite.tests(module.replace("TestA", "TestC").split("class TestB")[0], "test_two.py")
    suite.tests(f"def test_5({fixture}): pass", "test_three.py")
    outcome = suite.run("-s", "test_two.py", "test_one.py")
    assert outcome.counts == {"passed": 6}
    assert f"most {seen_by_the_others}" in outcome.text


def test_databases_of_every_blueprint_are_leased_when_looked_up(suite):
    suite.write(
        "freshpg.toml",
        """
[databases.main]
name = "shop_test"
migrations = ["schema.sql"]
[databases.events]
name = "shop_events_test"
migrations = []
[databases.broken]
name = "shop_broken_test"
migrations = ["broken.sql"]
""",
    )
    suite.write("broken.sql", "SELECT 1 / 0;")
    suite.tests("""
def test_it(pg_databases, pg):
    assert set(pg_databases) == {"main", "events", "broken"}
    assert pg_databases["main"] is pg
    assert pg_databases["events"].name.startswith("shop_events_test")
    assert pg_databases["events"] is pg_databases["events"]

@pytest.mark.pg(databases=["events", "main"])
def test_named(pg_databases, request):
    assert pg_databases["main"].name.startswith("shop_test")

@pytest.mark.pg(databases=["event"])
def test_misspelled(pg_databases): pass
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 2, "errors": 1}
    assert outcome.handed_out == 4
    assert "the project has: main, events, broken" in outcome.text


def test_a_connection_works_and_what_it_did_not_commit_is_gone(suite):
    suite.tests("""
def test_uncommitted(pg_conn, pg):
    pg_conn.execute("INSERT INTO item (name) VALUES ('mine')")
    assert pg_conn.info.dbname == pg.name

def test_clean(pg_conn):
    assert pg_conn.execute("SELECT count(*) FROM item").fetchone() == (1,)
""")
    assert suite.run().counts == {"passed": 2}


def test_the_nearest_marker_decides_the_isolation_then_option_then_settings(suite):
    suite.write(
        "freshpg.toml", 'isolation = "readonly"\n' + (suite.path / "freshpg.toml").read_text()
    )
    suite.tests("""
pytestmark = pytest.mark.pg(keep=False)

def test_setting_or_option(pg): print("outside", pg.isolation)

@pytest.mark.pg(isolation="clone")
class TestIt:
    def test_class(self, pg): assert pg.isolation == "clone"

    @pytest.mark.pg(isolation="reset")
    def test_function(self, pg, pg_class):
        assert (pg.isolation, pg_class.isolation) == ("reset", "clone")
""")
    by_settings, by_option = suite.run("-s"), suite.run("-s", "--pg-isolation=clone")
    assert "outside readonly" in by_settings.text
    assert "outside clone" in by_option.text
    assert by_settings.counts == by_option.counts == {"passed": 3}
    suite.write("pytest.ini", "[pytest]\npg_isolation = reset\n")
    assert "outside reset" in suite.run("-s").text


def test_an_option_wins_over_the_isolation_of_a_blueprint(suite):
    suite.write(
        "freshpg.toml", (suite.path / "freshpg.toml").read_text() + 'isolation = "readonly"\n'
    )
    suite.tests("def test_it(pg): print('level', pg.isolation)")
    assert "level readonly" in suite.run("-s").text
    assert "level clone" in suite.run("-s", "--pg-isolation", "clone").text


def test_the_server_level_gives_a_server_of_its_own(suite):
    suite.tests("""
@pytest.mark.pg(isolation="server")
def test_own(pg, pg_run):
    assert pg.conninfo.host != pg_run.conninfo.host
""")
    assert suite.run().counts == {"passed": 1}


def test_unittest_classes_get_databases_through_an_autouse_fixture(suite):
    suite.tests("""
import unittest

class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def database(self, pg):
        self.pg = pg

    def test_one(self):
        with self.pg.connect() as connection:
            connection.execute("DELETE FROM item")

    def test_two(self):
        with self.pg.connect() as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM item").fetchone(), (1,))

    @pytest.mark.pg(isolation="clon")
    def test_three(self): pass
""")
    refused = suite.run()
    assert refused.counts == {"errors": 1}
    assert "perhaps 'clone' was meant" in refused.text
    assert suite.run("--continue-on-collection-errors").exit_code == 1


def test_settings_are_found_from_where_pytest_was_called_inside_its_root(suite, monkeypatch):
    (suite.path / "freshpg.toml").rename(suite.write("service/here", "").with_name("freshpg.toml"))
    (suite.path / "schema.sql").rename(suite.path / "service" / "schema.sql")
    suite.write("pytest.ini", "[pytest]\n")
    suite.tests("def test_it(pg): assert pg.name.startswith('shop_test')", "service/test_it.py")
    monkeypatch.chdir(suite.path / "service")
    assert suite.run("--rootdir", str(suite.path), "test_it.py").counts == {"passed": 1}
