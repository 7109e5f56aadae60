"""Databases of failed tests stay for inspection when that is asked for."""

import pytest

pytestmark = pytest.mark.usefixtures("kept_servers_end")

TESTS = """
def test_fails(pg):
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('evidence')")
    assert False

def test_passes(pg): pass
"""


def test_the_database_of_a_failed_test_is_kept_and_can_be_looked_into(suite, look_into):
    suite.tests(TESTS)
    outcome = suite.run("--pg-keep-failed")
    assert "kept: freshpg psql shop_test_failed_1" in outcome.text
    assert "freshpg: kept shop_test_failed_1, look into it with: freshpg psql" in outcome.text
    assert outcome.counts == {"failed": 1, "passed": 1}
    (kept,) = suite.kept()
    assert kept.test == "test_it.py::test_fails"
    assert look_into(kept, "SELECT name FROM item ORDER BY id") == [("seeded",), ("evidence",)]


def test_nothing_is_kept_unless_asked(suite):
    suite.tests(TESTS)
    assert "psql" not in suite.run().text
    assert suite.kept() == []


def test_the_ini_key_asks_too_and_a_marker_says_no(suite):
    suite.write("pytest.ini", "[pytest]\npg_keep_failed = true\n")
    suite.tests(
        TESTS
        + """
@pytest.mark.pg(keep=False)
def test_fails_too(pg): assert False
"""
    )
    suite.run()
    assert [kept.test for kept in suite.kept()] == ["test_it.py::test_fails"]


def test_a_marker_asks_for_one_test_failed_or_not(suite):
    suite.tests("""
@pytest.mark.pg(keep=True)
def test_always(pg): pass
@pytest.mark.pg(keep="failed")
def test_not_failed(pg): pass
@pytest.mark.pg(keep="failed")
def test_failed(pg): assert False
""")
    suite.run()
    assert {kept.test for kept in suite.kept()} == {
        "test_it.py::test_always",
        "test_it.py::test_failed",
    }


def test_only_so_many_are_kept_and_the_oldest_goes(suite):
    suite.write("freshpg.toml", "keep = 2\n" + (suite.path / "freshpg.toml").read_text())
    suite.tests("""
@pytest.mark.parametrize("turn", range(3))
def test_it(pg, turn): assert False
""")
    suite.run("--pg-keep-failed")
    assert [(kept.name, kept.test) for kept in suite.kept()] == [
        ("shop_test_failed_2", "test_it.py::test_it[1]"),
        ("shop_test_failed_1", "test_it.py::test_it[2]"),
    ]


def test_the_database_of_a_wider_scope_is_kept_when_a_test_that_uses_it_fails(suite):
    suite.tests("""
def test_1(pg_module): assert False
def test_2(pg_run): pass
def test_3(): assert False
""")
    suite.run("--pg-keep-failed")
    assert [kept.test for kept in suite.kept()] == ["test_it.py"]


def test_workers_keep_under_numbers_of_their_own(suite, look_into):
    suite.tests("""
@pytest.mark.parametrize("turn", range(4))
def test_it(pg, turn): assert False
""")
    outcome = suite.run_apart("-n2", "--pg-keep-failed")
    assert outcome.counts == {"failed": 4}
    assert {kept.name for kept in suite.kept()} == {f"shop_test_failed_{n}" for n in range(1, 5)}
    for kept in suite.kept():
        assert look_into(kept, "SELECT count(*) FROM item") == [(1,)]
        assert f"freshpg psql {kept.name}" in outcome.text
