"""``pg_aconn`` under every plugin for asynchronous tests."""

import pytest

QUESTION = """
    await pg_aconn.execute("INSERT INTO item (name) VALUES ('mine')")
    await pg_aconn.commit()
    rows = await (await pg_aconn.execute("SELECT name FROM item ORDER BY id")).fetchall()
    assert rows == [("seeded",), ("mine",)]
    async with await pg.aconnect() as other:
        assert (await (await other.execute("SELECT count(*) FROM item")).fetchone()) == (2,)
    # Two at once make the connection's lock wait in this loop.
    await asyncio.gather(*(pg_aconn.execute("SELECT pg_sleep(0.01)") for _ in range(2)))
"""


def module(decorator="", extra=""):
    return f"""
import asyncio

{decorator}
@pytest.mark.parametrize("turn", range(2))
async def test_it(pg_aconn, pg, turn{extra}):
{QUESTION}
"""


@pytest.mark.parametrize(
    "decorator, extra, options",
    [
        pytest.param("@pytest.mark.asyncio", "", (), id="pytest-asyncio strict"),
        pytest.param("", "", ("-o", "asyncio_mode=auto"), id="pytest-asyncio auto"),
        pytest.param(
            "@pytest.mark.asyncio(loop_scope='session')",
            "",
            ("-o", "asyncio_mode=auto"),
            id="one loop for the session",
        ),
        pytest.param(
            "@pytest.mark.anyio", "", ("-p", "no:asyncio"), id="anyio without pytest-asyncio"
        ),
        pytest.param("@pytest.mark.anyio", ", anyio_backend", (), id="anyio beside pytest-asyncio"),
        pytest.param("", "", ("-p", "no:asyncio", "-o", "anyio_mode=auto"), id="anyio auto"),
    ],
)
def test_an_asynchronous_connection_works_in_the_loop_of_the_test(suite, decorator, extra, options):
    if "no:asyncio" in options:
        options = (*options, "-W", "ignore:Unknown config option")
    suite.write("conftest.py", ANYIO)
    suite.tests(module(decorator, extra))
    outcome = suite.run(*options)
    assert outcome.counts == {"passed": 2}, outcome.text


ANYIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_an_asynchronous_connection_serves_a_synchronous_test_that_runs_a_loop(suite):
    body = QUESTION.replace("\n", "\n    ")
    suite.tests(f"""
import asyncio

def test_it(pg_aconn, pg):
    async def main():
    {body}
    asyncio.run(main())
""")
    assert suite.run().counts == {"passed": 1}


def test_an_asynchronous_connection_can_be_had_while_a_loop_runs(suite):
    suite.tests("""
import asyncio

def test_it(request):
    async def main():
        connection = request.getfixturevalue("pg_aconn")
        return await (await connection.execute("SELECT 1")).fetchone()
    assert asyncio.run(main()) == (1,)
""")
    assert suite.run().counts == {"passed": 1}


def test_a_failing_connect_tells_what_psycopg_said(suite):
    suite.write(
        "conftest.py",
        """
import pytest

@pytest.fixture
def pg(pg):
    with pg.connect(autocommit=True, dbname="postgres") as connection:
        pass
    pg.connect().execute("SELECT 1")
    pg._conninfo = pg._conninfo.with_(dbname="no_such")
    return pg
""",
    )
    suite.tests("def test_it(pg_aconn): pass")
    outcome = suite.run("-W", "ignore")
    assert 'database "no_such" does not exist' in outcome.text
