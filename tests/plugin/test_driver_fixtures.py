"""Fixtures for asyncpg and SQLAlchemy, under every plugin that runs asynchronous tests."""

import asyncpg  # noqa: F401 (runs inside this process shall find it imported: C parts load once a process)
import psycopg2  # noqa: F401
import pytest
import sqlalchemy.dialects.postgresql
import sqlalchemy.ext.asyncio
import sqlalchemy.orm  # noqa: F401

import freshpg.drivers.asyncpg.rollback
import freshpg.drivers.sqlalchemy  # noqa: F401

SYNCHRONOUS = """
from sqlalchemy import text

COUNT = text("SELECT count(*) FROM item")
INSERT = text("INSERT INTO item (name) VALUES ('mine')")

def use(pg_session, pg_engine, pg_session_factory):
    assert pg_session.scalar(COUNT) == 1
    pg_session.execute(INSERT)
    pg_session.commit()
    with pg_session_factory() as session:
        assert session.scalar(COUNT) == 2
        session.execute(INSERT)
    with pg_engine.connect() as connection:
        assert connection.scalar(COUNT) == 2
    pg_session.execute(INSERT)

engines = set()

@pytest.mark.parametrize("turn", range(2))
@pytest.mark.parametrize("level", [
    pytest.param(level, marks=pytest.mark.pg(isolation=level)) for level in ("reset", "rollback", "clone")
])
def test_each_level(pg_session, pg_engine, pg_session_factory, level, turn):
    use(pg_session, pg_engine, pg_session_factory)
    if level == "reset":
        engines.add(pg_engine)
        assert len(engines) == 1

@pytest.mark.pg(driver="psycopg2")
def test_another_driver(pg_session, pg_engine, pg_session_factory):
    assert pg_engine.dialect.driver == "psycopg2"
    use(pg_session, pg_engine, pg_session_factory)

@pytest.mark.pg(driver="asyncpg")
def test_a_driver_of_the_other_kind(pg_engine, pg_aengine):
    assert pg_engine.dialect.driver == "psycopg"
    assert pg_aengine.dialect.driver == "asyncpg"

@pytest.mark.pg(driver="psycopg2", isolation="rollback")
def test_refused(pg_session):
    pass
"""


def test_sessions_work_at_every_level_and_with_every_driver(suite):
    suite.tests(SYNCHRONOUS)
    outcome = suite.run()
    assert outcome.counts == {"passed": 8, "errors": 1}, outcome.text
    assert "which psycopg2 cannot take part in" in outcome.text


ASYNCHRONOUS = """
from sqlalchemy import text

COUNT = text("SELECT count(*) FROM item")
INSERT = text("INSERT INTO item (name) VALUES ('mine')")

pytestmark = [
    pytest.mark.parametrize("turn", range(2)),
    pytest.mark.parametrize("driver, level", [
        pytest.param(driver, level, marks=pytest.mark.pg(driver=driver, isolation=level))
        for driver in ("psycopg", "asyncpg") for level in ("reset", "rollback")
    ]),
]

async def use(pg_asession, pg_asyncpg, pg_session_factory, driver):
    assert pg_asession.bind.dialect.driver.startswith(driver)
    assert await pg_asession.scalar(COUNT) == 1
    await pg_asession.execute(INSERT)
    await pg_asession.commit()
    async with pg_session_factory.asession() as session:
        assert await session.scalar(COUNT) == 2
    assert await pg_asyncpg.fetchval("SELECT 1") == 1
    await pg_asession.execute(INSERT)
"""
TEST = """
{decorator}
async def test_{name}(pg_asession, pg_asyncpg, pg_session_factory, driver, level, turn{extra}):
    await use(pg_asession, pg_asyncpg, pg_session_factory, driver)
"""
ANYIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def asynchronous(*tests):
    return ASYNCHRONOUS + "".join(
        TEST.format(name=name, decorator=decorator, extra=extra) for name, decorator, extra in tests
    )


def test_asynchronous_fixtures_live_in_the_loop_of_the_test(suite):
    suite.write("conftest.py", ANYIO)
    suite.tests(
        asynchronous(
            ("function", "@pytest.mark.asyncio", ""),
            ("module", "@pytest.mark.asyncio(loop_scope='module')", ""),
            ("anyio", "@pytest.mark.anyio", ", anyio_backend"),
        )
    )
    outcome = suite.run()
    assert outcome.counts == {"passed": 24}, outcome.text


@pytest.mark.parametrize(
    "decorator, options",
    [
        pytest.param("", ("-o", "asyncio_mode=auto"), id="pytest-asyncio auto"),
        pytest.param(
            "@pytest.mark.anyio",
            ("-p", "no:asyncio", "-W", "ignore:Unknown config option"),
            id="anyio alone",
        ),
    ],
)
@pytest.mark.slow
def test_asynchronous_fixtures_need_no_marker_of_their_own(suite, decorator, options):
    suite.write("conftest.py", ANYIO)
    suite.tests(asynchronous(("it", decorator, "")))
    outcome = suite.run(*options)
    assert outcome.counts == {"passed": 8}, outcome.text


REFUSED = """
import asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

def test_connection(pg_asyncpg):
    pass

def test_session(pg_asession):
    pass

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio(pg_asyncpg, anyio_backend):
    pass

@pytest.mark.pg(driver="asyncpg")
def test_a_loop_of_its_own(pg_aengine):
    async def main():
        async with AsyncSession(pg_aengine) as session:
            return await session.scalar(text("SELECT count(*) FROM item"))
    assert [asyncio.run(main()) for _ in range(2)] == [1, 1]
"""


def test_what_belongs_to_a_loop_is_refused_where_there_is_none(suite):
    suite.tests(REFUSED)
    outcome = suite.run()
    assert outcome.counts == {"passed": 1, "errors": 3}, outcome.text
    assert "await freshpg.drivers.asyncpg.connect(pg)" in outcome.text
    assert "async with AsyncSession(pg_aengine) as session" in outcome.text
    assert "the test runs on trio" in outcome.text


@pytest.mark.parametrize(
    "test, options",
    [("@pytest.mark.pg(driver='mysql')\n", ()), ("", ("--pg-driver", "mysql"))],
)
def test_a_driver_nobody_knows_is_refused_before_a_server_starts(suite, running, test, options):
    suite.tests(f"{test}def test_it(pg_session): pass")
    outcome = suite.run(*options)
    assert "use one of: psycopg, asyncpg, psycopg2, pg8000" in outcome.text
    assert outcome.exit_code in {2, 4}
