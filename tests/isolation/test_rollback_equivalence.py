"""Whatever is done on the connection of a rollback test looks as it would on a plain one, step by step."""

import re

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rollback_world import CONTROL, address, kept_session, make_database, rollback_server

from freshpg.isolation.rollback.single import SingleConnection

__all__ = ["CONTROL", "address", "kept_session", "make_database", "rollback_server"]

EXAMPLES = 60

LOOK = """
SELECT 'customer', id, name FROM customer UNION ALL SELECT 'parent', id, NULL FROM parent
UNION ALL SELECT 'child', id, parent::text FROM child ORDER BY 1, 2
"""
RESTORE = """
TRUNCATE customer, parent, child RESTART IDENTITY; ALTER SEQUENCE ticket RESTART;
INSERT INTO customer (name) VALUES ('Ada')
"""


class Wanted(Exception):
    pass


ENDS = re.compile(r"\W*(a \*/ )?(begin|start|commit|end|rollback(?! to)|abort)", re.IGNORECASE)

ends_of_blocks = st.sampled_from(["", "raise", "Rollback"])
small = st.integers(0, 5)
statements = st.one_of(
    st.builds("INSERT INTO customer (name) VALUES ('n{}')".format, small),
    st.builds("UPDATE customer SET name = name || '{}' WHERE id = {}".format, small, small),
    st.builds("DELETE FROM customer WHERE id = {}".format, small),
    st.builds("INSERT INTO parent VALUES ({})".format, small),
    st.builds("INSERT INTO child VALUES ({}, {})".format, small, small),
    st.builds("DELETE FROM parent WHERE id = {}".format, small),
    st.builds(
        "INSERT INTO parent VALUES ({}); INSERT INTO parent VALUES ({})".format, small, small
    ),
    st.sampled_from(
        [
            "SELECT 1/0",
            "SELECT nextval('ticket')",
            "SELEC",
            "CREATE TABLE extra (id int)",
            "DROP TABLE extra",
            "SELECT count(*) FROM extra",
            "TRUNCATE child, parent",
            "SET CONSTRAINTS ALL IMMEDIATE",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET work_mem = '1MB'",
            "SHOW work_mem",
            "SHOW transaction_read_only",
        ]
    ),
)
# What a sync of a pipeline answers to a deferred constraint that does not hold, psycopg does not expect.
pipelined = statements.filter(lambda statement: "child" not in statement)
controls = st.sampled_from([
    "BEGIN", "START TRANSACTION READ ONLY", "begin work;", "COMMIT", "END", "/* a */ commit -- b", "ROLLBACK", "ABORT",
    "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "ROLLBACK TRANSACTION",
    "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT b", "RELEASE a", "RELEASE SAVEPOINT b",
])  # fmt: skip
leaves = st.one_of(
    st.tuples(st.just("execute"), statements),
    st.tuples(st.just("execute"), statements),
    st.tuples(st.just("execute"), controls),
    st.tuples(st.just("commit")),
    st.tuples(st.just("rollback")),
    st.tuples(st.just("autocommit"), st.booleans()),
    st.tuples(st.just("many"), st.lists(small, min_size=1, max_size=4)),
    st.tuples(st.just("copy"), st.lists(small, max_size=3)),
    st.tuples(st.just("copy out")),
    st.tuples(st.just("stream"), st.booleans()),
    st.tuples(st.just("server cursor"), st.booleans()),
    st.tuples(st.just("prepared"), small),
    st.tuples(st.just("client cursor"), controls),
)
# psycopg's blocks stumble over their own assertions when a statement ends the transaction around them.
in_blocks = leaves.filter(
    lambda step: "cursor" not in step[0] and (step[0] != "execute" or not ENDS.match(step[1]))
)
nested = st.recursive(
    in_blocks,
    lambda inner: st.tuples(st.just("block"), st.lists(inner, max_size=4), ends_of_blocks),
    max_leaves=6,
)
steps = st.one_of(
    leaves,
    leaves,
    st.tuples(st.just("block"), st.lists(nested, max_size=4), ends_of_blocks),
    st.tuples(st.just("pipeline"), st.lists(st.tuples(st.just("execute"), pipelined), max_size=4)),
)


def do(connection, step):
    """Do a step; return what it gave."""
    verb, *given_ = step
    return VERBS[verb](connection, *given_)


def execute(connection, query):
    cursor = connection.execute(query)
    return cursor.statusmessage, rows_of(cursor)


def rows_of(cursor):
    return cursor.fetchall() if cursor.description else None


def set_autocommit(connection, value):
    connection.autocommit = value


def insert_many(connection, ids):
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO parent VALUES (%s)", [(one,) for one in ids])
    return cursor.rowcount


def copy_in(connection, ids):
    with connection.cursor().copy("COPY parent FROM STDIN") as copy:
        for one in ids:
            copy.write_row((one,))


def copy_out(connection):
    with connection.cursor().copy("COPY customer TO STDOUT") as copy:
        return b"".join(copy)


def stream(connection, works):
    query = "SELECT generate_series(1, 3)" if works else "SELECT 1/0"
    return list(connection.cursor().stream(query))


def served(connection, withhold):
    with connection.cursor("c", withhold=withhold) as cursor:
        return cursor.execute("SELECT name FROM customer ORDER BY id").fetchmany(2)


def prepared(connection, number):
    query = "SELECT name FROM customer WHERE id = %s"
    return connection.cursor().execute(query, (number,), prepare=True).fetchall()


def pipeline(connection, inner):
    with connection.pipeline():
        cursors = [connection.execute(query) for _, query in inner]
    return [rows_of(cursor) for cursor in cursors]


def block(connection, inner, end):
    with connection.transaction():
        results = [do(connection, step) for step in inner]
        if end == "raise":
            raise Wanted
        if end == "Rollback":
            raise psycopg.Rollback
    return results


VERBS = {
    "execute": execute,
    "client cursor": lambda connection, query: (
        psycopg.ClientCursor(connection).execute(query).statusmessage
    ),
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "autocommit": set_autocommit,
    "many": insert_many,
    "copy": copy_in,
    "copy out": copy_out,
    "stream": stream,
    "server cursor": served,
    "prepared": prepared,
    "block": block,
    "pipeline": pipeline,
}


def outcome(connection, step):
    try:
        return do(connection, step)
    except (psycopg.Error, psycopg.Rollback, Wanted) as error:
        return type(error), getattr(error, "sqlstate", None)


def seen(connection):
    status = connection.info.transaction_status
    if status == psycopg.pq.TransactionStatus.INERROR:
        return status, None
    rows = connection.execute(LOOK).fetchall()
    return status, rows


@pytest.fixture(scope="module")
def plain_address(make_database):
    return make_database()


def walk(session, address, plain_address, script, *, autocommit):
    assert session.begin()
    single = SingleConnection(session, address, "here")
    ours = single.connect(autocommit=autocommit)
    plain = psycopg.connect(**plain_address.keywords(), autocommit=autocommit)
    try:
        for number, step in enumerate(script):
            expected = outcome(plain, step)
            got = outcome(ours, step)
            assert got == expected, (number, step)
            assert seen(ours) == seen(plain), (number, step)
        plain.rollback()
        ours.rollback()
        assert seen(ours) == seen(plain), "after a last rollback"
    finally:
        plain.close()
        ending = single.end(check=False)
        with psycopg.connect(**plain_address.keywords(), autocommit=True) as cleaner:
            cleaner.execute("DROP TABLE IF EXISTS extra")
            cleaner.execute(RESTORE)
    assert not ending.doubt, ending


def chained(*queries):
    return [("execute", query) for query in (*queries, "INSERT INTO parent VALUES (7)")]


@pytest.mark.timeout(300)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(steps, max_size=10), autocommit=st.booleans())
@example(script=chained("START TRANSACTION READ ONLY", "COMMIT AND CHAIN"), autocommit=False)
@example(script=chained("BEGIN READ ONLY", "SELECT 1/0", "ROLLBACK AND CHAIN"), autocommit=True)
@example(script=chained("BEGIN", "SET TRANSACTION READ ONLY", "COMMIT AND CHAIN"), autocommit=True)
@example(script=chained("BEGIN", "BEGIN READ ONLY", "END AND CHAIN", "COMMIT"), autocommit=True)
def test_every_step_looks_as_on_a_plain_connection(
    kept_session, address, plain_address, script, autocommit
):
    walk(kept_session, address, plain_address, script, autocommit=autocommit)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(steps, max_size=20), autocommit=st.booleans())
def test_so_does_every_step_of_long_walks(kept_session, address, plain_address, script, autocommit):
    walk(kept_session, address, plain_address, script, autocommit=autocommit)
