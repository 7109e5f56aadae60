"""Anything a few connections can do in any order, then a reset: the database is its template's equal, down to the last hash.

A failure names its seed; ``FRESHPG_MACHINE_SEED=<seed> pytest -m "" tests/isolation/test_machine.py`` runs it again.
"""

import os
import secrets

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from isolation.changes import TEMPLATE

from freshpg.core.settings import Settings
from freshpg.isolation.audit.deep import DeepState
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin

POOL = 3
IDLE = psycopg.pq.TransactionStatus.IDLE
QUICK = "SET lock_timeout = '20ms'; SET statement_timeout = '5s'; SET deadlock_timeout = '10ms'"
"""One thread drives all connections, so none may wait for another; a plain role may not set the last."""

ROWS = (
    "INSERT INTO basket SELECT n, 'x' FROM generate_series({a}, {a} + {b}) n",
    "INSERT INTO customer (name) VALUES ('customer {a}')",
    "INSERT INTO orders (customer_id, total) SELECT id, {a} FROM customer WHERE id <= {b}",
    "INSERT INTO item SELECT id, {a} + 1, 'x' FROM orders LIMIT {b}",
    "INSERT INTO without_key VALUES ({a}, 'x'), ({a}, 'x'), (NULL, NULL)",
    "INSERT INTO cache VALUES ({a}, 'x')",
    "INSERT INTO document VALUES ({a} + 10, repeat('x{b}', 3000))",
    "INSERT INTO event VALUES ('2024-01-01'::date + {a}, 'x')",
    "INSERT INTO dog VALUES ('x', 'x')",
    "INSERT INTO extra.thing (label) VALUES ('x')",
    "INSERT INTO employee VALUES ({a} + 5, {b})",
    "INSERT INTO odd (f, many) VALUES ('NaN', '{{ {a}, {b} }}')",
    "INSERT INTO item VALUES (1, {a} + 1, 'x') ON CONFLICT (order_id, place) DO UPDATE SET label = 'y'",
    "UPDATE customer SET notes = 'x{a}' WHERE id = {b} + 1",
    "UPDATE item SET label = label",
    "UPDATE orders SET total = total + {a}",
    "UPDATE without_key SET b = 'x' WHERE a = {b}",
    "UPDATE document SET body = repeat('y', {a} * 100) WHERE id = 1",
    "UPDATE event SET at = at + 365",
    "UPDATE cache SET value = 'x'",
    "DELETE FROM item WHERE place = {b} + 1",
    "DELETE FROM orders WHERE id = {b} + 1",
    "DELETE FROM customer WHERE id = {b} + 1",
    "DELETE FROM without_key WHERE ctid = (SELECT min(ctid) FROM without_key)",
    "DELETE FROM basket",
    "DELETE FROM animal",
    "DELETE FROM cache",
    "TRUNCATE basket, item",
    "TRUNCATE orders CASCADE",
    "TRUNCATE cache",
    "WITH gone AS (DELETE FROM item RETURNING *) INSERT INTO basket SELECT order_id, label FROM gone",
    "SELECT lo_put(4242, {a}, 'x')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_unlink(4242)",
    "SELECT * FROM customer FOR UPDATE",
    "CALL note('x')",
)
SEQUENCES = (
    "SELECT nextval('ticket')",
    "SELECT nextval('ticket') FROM generate_series(0, {a})",
    "SELECT nextval('unused_ticket')",
    "SELECT nextval('cached_ticket')",
    "SELECT nextval('loose_ticket')",
    "SELECT setval('ticket', {a} + 1, {b} > 1)",
    "SELECT setval('loose_ticket', {a} + 1)",
    "ALTER TABLE customer ALTER id RESTART WITH 50",
)
DEFINITIONS = (
    "CREATE TABLE debris{b} (id serial PRIMARY KEY, t text)",
    "INSERT INTO debris{b} (t) VALUES ('x')",
    "DROP TABLE debris{b}",
    "DROP TABLE item",
    "ALTER TABLE basket ADD extra{b} int DEFAULT {a}",
    "ALTER TABLE basket DROP COLUMN label",
    "ALTER TABLE item SET UNLOGGED",
    "CREATE INDEX ON basket (label)",
    "DROP INDEX orders_by_customer",
    "CREATE OR REPLACE VIEW happy_customer AS SELECT id, name FROM customer WHERE id > {a}",
    "REFRESH MATERIALIZED VIEW turnover",
    "ALTER TABLE customer DISABLE TRIGGER stamp",
    "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'mood {b}'",
    "GRANT SELECT ON basket TO PUBLIC",
    "COMMENT ON TABLE basket IS 'x{a}'",
    "CREATE TEMP TABLE mine{b} AS SELECT * FROM customer",
    "ALTER SEQUENCE ticket INCREMENT {a} + 1",
    "CREATE SCHEMA debris",
    "VACUUM basket",
    "VACUUM FULL orders",
    "ANALYZE",
    "CLUSTER orders USING orders_by_customer",
)
SESSION = (
    "SELECT pg_advisory_lock({a})",
    "LOCK TABLE basket IN SHARE MODE",
    "SET search_path = extra",
    "LISTEN news",
    "NOTIFY news, 'x'",
    "SET default_transaction_read_only = on",
    "RESET ALL",
    "SELECT 1 / 0",
    "DECLARE c{b} CURSOR WITH HOLD FOR SELECT * FROM customer",
)

connections = st.integers(0, POOL - 1)
small = st.integers(0, 40)
few = st.integers(0, 3)


class Disorder(RuleBasedStateMachine):
    """Tests that write through a pool which stays open over all of them."""

    manager = None
    pristine = None
    steps = 0
    replaced = 0
    in_place = 0

    def __init__(self):
        super().__init__()
        self.database = None
        self.pool = [None] * POOL

    @initialize()
    def begin(self):
        self.database = self.manager.acquire(isolation="reset")
        self.settle_on_equal("when it was handed out")

    @rule(at=connections, what=st.sampled_from(ROWS), a=small, b=few)
    def write(self, at, what, a, b):
        self.run(at, what.format(a=a, b=b))

    @rule(at=connections, what=st.sampled_from(ROWS), a=small, b=few)
    def write_once_more(self, at, what, a, b):
        self.run(at, what.format(a=a, b=b))

    @rule(at=connections, what=st.sampled_from(SEQUENCES), a=small, b=few)
    def move(self, at, what, a, b):
        self.run(at, what.format(a=a, b=b))

    @rule(at=connections, what=st.sampled_from(DEFINITIONS), a=small, b=few)
    def define(self, at, what, a, b):
        self.run(at, what.format(a=a, b=b))

    @rule(at=connections, what=st.sampled_from(SESSION), a=small, b=few)
    def disturb(self, at, what, a, b):
        self.run(at, what.format(a=a, b=b))

    @rule(
        at=connections, level=st.sampled_from(["", " ISOLATION LEVEL SERIALIZABLE", " READ ONLY"])
    )
    def open_transaction(self, at, level):
        self.run(at, f"BEGIN{level}")

    @rule(at=connections)
    def commit(self, at):
        self.run(at, "COMMIT")

    @rule(at=connections)
    def roll_back(self, at):
        self.run(at, "ROLLBACK")

    @rule(at=connections, verb=st.sampled_from(["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"]))
    def save(self, at, verb):
        self.run(at, verb)

    @rule(at=connections, name=few)
    def prepare_transaction(self, at, name):
        self.run(at, f"PREPARE TRANSACTION 'left {name}'")

    @rule(at=connections)
    def hang_up(self, at):
        self.connection(at).close()

    @precondition(lambda self: self.database is not None)
    @rule()
    def reset(self):
        idle = [one for one in self.pool if self.answers(one)]
        residue = self.database.reset()
        type(self).replaced += residue.replaced
        type(self).in_place += not residue.replaced
        self.settle_on_equal(f"after {residue}")
        ended = {session.pid for session in residue.sessions}
        for connection in idle if not residue.replaced else ():
            assert connection.info.backend_pid in ended or self.answers(connection), residue

    @precondition(lambda self: self.database is not None)
    @rule()
    def give_back_and_take(self):
        self.manager.release(self.database)
        self.database = self.manager.acquire(isolation="reset")
        self.settle_on_equal("when it was handed out again")

    def teardown(self):
        try:
            if self.database is not None:
                self.manager.release(self.database)
        finally:
            for connection in filter(None, self.pool):
                connection.close()

    @staticmethod
    def answers(connection):
        """Whether it is an idle connection to a living session."""
        try:
            return (
                connection is not None
                and connection.info.transaction_status == IDLE
                and connection.execute("SELECT 1").fetchone() == (1,)
            )
        except psycopg.Error:
            return False

    def connection(self, at):
        if self.pool[at] is None or self.pool[at].closed:
            address = self.database.conninfo
            self.pool[at] = psycopg.connect(**address.keywords(), autocommit=True)
            self.pool[at].execute(QUICK.rpartition(";")[0])
        return self.pool[at]

    def run(self, at, statement):
        type(self).steps += 1
        try:
            self.connection(at).execute(statement)
        except psycopg.Error:
            # Refused, timed out, in a failed transaction, cut by a reset: all of that happens to tests.
            return

    def settle_on_equal(self, when):
        type(self).steps += 1
        address = self.manager._holding.running.coordination
        with Admin.connect(address.with_(dbname=self.database.name)) as admin:
            differences = self.pristine.diff(DeepState.read(admin))
        assert not differences, (when, [str(one) for one in differences])


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The machine, on a server of its own."""
    root = tmp_path_factory.mktemp("machine")
    (root / "schema.sql").write_text(TEMPLATE)
    manager = DatabaseManager(
        Settings(
            root=root,
            linger=0,
            settings={"max_prepared_transactions": 10},
            databases={"main": {"name": "rich_test", "migrations": ["schema.sql"]}},
        )
    )
    try:
        with manager.lease(isolation="clone") as database:
            address = manager._holding.running.coordination.with_(dbname=database.name)
            with Admin.connect(address) as admin:
                pristine = DeepState.read(admin)
        yield type("Disorder", (Disorder,), {"manager": manager, "pristine": pristine})
    finally:
        manager.stop()


def run(machine, *, at_least, steps):
    """Run the machine until it took so many steps: how many an example takes is left to chance."""
    chosen = int(os.environ.get("FRESHPG_MACHINE_SEED") or secrets.randbits(32))
    how = settings(
        max_examples=10,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    before = machine.steps
    while machine.steps - before < at_least:
        try:
            run_state_machine_as_test(seed(chosen)(machine), settings=how)
        except BaseException as failure:
            failure.add_note(
                f'FRESHPG_MACHINE_SEED={chosen} pytest -m "" tests/isolation/test_machine.py'
            )
            raise
        chosen += 1
    return machine


def test_whatever_a_few_tests_did_a_reset_gives_the_template_back(machine):
    run(machine, at_least=200, steps=25)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_whatever_many_tests_did_a_reset_gives_the_template_back(machine):
    done = run(machine, at_least=10_000, steps=40)
    assert done.in_place > 100
    assert done.replaced > 100
