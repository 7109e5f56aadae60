"""What fails, fails alone: one test, one blueprint, one worker."""

import pytest

BROKEN = """
[databases.main]
name = "shop_test"
migrations = ["schema.sql"]
[databases.broken]
name = "broken_test"
migrations = ["call:steps:fail"]
"""
STEPS = """
def fail(connection):
    with open("tries", "a") as file: file.write("x")
    connection.execute("SELEC 1")
"""
TESTS = """
@pytest.mark.pg(databases=["broken"])
@pytest.mark.parametrize("turn", range(3))
def test_broken(pg_databases, turn): pass

@pytest.mark.parametrize("turn", range(3))
def test_main(pg, turn):
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (2,)
"""


@pytest.mark.parametrize("own", [True, False])
def test_a_broken_migration_is_run_once_and_fails_only_who_needs_it(suite, server, admin, own):
    suite.write("freshpg.toml", ("" if own else "allow_create = true\n") + BROKEN)
    suite.write("steps.py", STEPS)
    suite.tests(TESTS)
    outcome = suite.run(*(() if own else (f"--pg-server={server.url()}",)))
    assert outcome.counts == {"passed": 3, "errors": 3}, outcome.text
    assert (suite.path / "tries").read_text() == "x"
    assert "failures: 0 ours, 3 yours, 0 infrastructure" in outcome.text


def test_what_a_failed_test_left_open_is_not_met_by_the_next(suite):
    suite.tests("""
left = []

def test_1(pg):
    left.append(pg.connect())
    left[0].execute("LOCK TABLE item")
    left[0].execute("INSERT INTO item (name) VALUES ('mine')")
    assert False

@pytest.mark.parametrize("turn", range(2))
def test_2(pg, turn):
    with pg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (1,)
        connection.execute("TRUNCATE item")
""")
    assert suite.run().counts == {"passed": 2, "failed": 1}


def test_a_failing_fixture_of_wide_scope_fails_its_own_tests_alone(suite):
    suite.tests("""
@pytest.fixture(scope="module")
def filled(pg_module):
    with pg_module.connect() as connection:
        connection.execute("SELEC 1")

def test_1(filled): pass
def test_2(pg): pass
def test_3(pg_module): pass
""")
    assert suite.run().counts == {"passed": 2, "errors": 1}
