"""Fixtures and reports of level `rollback` in a user's suite."""

ROLLBACK = 'pytestmark = pytest.mark.pg(isolation="rollback")\n'


def test_connections_of_all_fixtures_are_one_and_nothing_reaches_the_next_test(suite):
    suite.tests(
        ROLLBACK
        + """
import asyncio

@pytest.mark.parametrize("time", [1, 2, 3])
def test_all(pg, pg_conn, pg_aconn, time):
    assert pg_conn.execute("INSERT INTO item (name) VALUES ('x') RETURNING id").fetchone() == (2,)
    pg_conn.commit()

    async def count():
        cursor = await pg_aconn.execute("SELECT count(*) FROM item")
        return await cursor.fetchone()

    assert asyncio.run(count()) == (2,)
    with pg.connect(autocommit=True) as other:
        assert other.execute("SELECT count(*) FROM item").fetchone() == (2,)
"""
    )
    assert suite.run().counts == {"passed": 3}


def test_a_deferred_constraint_fails_the_test_that_broke_it(suite):
    suite.write(
        "schema.sql",
        "CREATE TABLE item (id int PRIMARY KEY, parent int REFERENCES item DEFERRABLE INITIALLY DEFERRED);",
    )
    suite.tests(
        ROLLBACK
        + """
def test_broken(pg_conn):
    pg_conn.execute("INSERT INTO item VALUES (1, 99)")

def test_next(pg_conn):
    assert pg_conn.execute("SELECT count(*) FROM item").fetchone() == (0,)
"""
    )
    outcome = suite.run()
    assert outcome.counts == {"passed": 2, "errors": 1}
    assert "FPG-B03" in outcome.text
    assert "constraint item_parent_fkey" in outcome.text


def test_the_level_is_chosen_by_option_and_works_in_scopes(suite):
    suite.tests(
        """
@pytest.fixture(scope="module")
def conn(pg_module):
    with pg_module.connect() as connection:
        yield connection

def test_one(conn):
    conn.execute("INSERT INTO item (name) VALUES ('of the module')")
    conn.commit()

def test_two(conn, pg):
    assert conn.execute("SELECT count(*) FROM item").fetchone() == (2,)
    with pg.connect() as own:
        assert own.execute("SELECT count(*) FROM item").fetchone() == (1,)
"""
    )
    assert suite.run("--pg-isolation=rollback").counts == {"passed": 2}
