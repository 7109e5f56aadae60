"""Sequences put back and tables emptied, of a database that is out."""

import pytest

from freshpg.core.errors import LeaseClosed, TableUnknown, UsageInvalid, WaitTimedOut
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

SHOP = """
CREATE TABLE customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text,
                       shout text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE cart (id serial PRIMARY KEY, customer int REFERENCES customer);
CREATE TABLE product (id int PRIMARY KEY);
CREATE SEQUENCE ticket START 100;
CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL);
CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
INSERT INTO customer (name) VALUES ('Ada'), ('Bob');
INSERT INTO cart (customer) VALUES (1);
INSERT INTO product VALUES (7);
WITH one AS (INSERT INTO a VALUES (1, 1)) INSERT INTO b VALUES (1, 1);
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory, ground):
    root = tmp_path_factory.mktemp("shop")
    (root / "schema.sql").write_text(SHOP)
    settings = Settings(
        root=root,
        linger=0,
        databases={"main": {"name": "upkeep_test", "migrations": ["schema.sql"]}},
    )
    with pytest.MonkeyPatch.context() as places:
        places.setenv("FRESHPG_RUNTIME", str(ground))
        places.setenv("FRESHPG_CACHE", str(ground / "cache"))
        with DatabaseManager(settings) as manager:
            yield manager


@pytest.fixture
def db(shop):
    with shop.lease(isolation="reset") as database:
        yield database


def ask(db, query):
    with db.connect(autocommit=True) as connection:
        cursor = connection.execute(query)
        while cursor.nextset():
            pass
        return cursor.fetchone()


def test_sequences_that_moved_go_back_to_where_the_template_has_them(db):
    ask(db, "SELECT nextval('cart_id_seq'), nextval('ticket')")

    assert set(db.reset_sequences()) == {"public.cart_id_seq", "public.ticket"}
    assert db.reset_sequences() == ()
    assert ask(db, "SELECT nextval('cart_id_seq'), nextval('ticket')") == (2, 100)


def test_sequences_begin_again_at_one_on_request(db):
    assert "public.customer_id_seq" in db.reset_sequences(to="one")
    assert ask(db, "SELECT nextval('customer_id_seq'), nextval('cart_id_seq')") == (1, 1)


def test_a_sequence_that_the_test_made_stays(db):
    ask(db, "CREATE SEQUENCE mine; SELECT nextval('mine')")

    assert db.reset_sequences() == ()
    assert ask(db, "SELECT nextval('mine')") == (2,)


def test_an_unknown_state_is_refused(db):
    with pytest.raises(UsageInvalid, match="to='template'"):
        db.reset_sequences(to="zero")


def test_a_dry_run_shows_the_cascade_and_changes_nothing(db):
    plan = db.truncate("Customer", dry_run=True)

    assert str(plan).splitlines() == [
        "2 tables, 3 rows would be emptied",
        "  public.customer: 2 rows; public.customer was asked for",
        "  public.cart: 1 row; public.cart(customer) references public.customer",
    ]
    assert ask(db, "SELECT count(*) FROM customer") == (2,)
    assert not db.audit()


def test_a_table_is_emptied_with_what_references_it(db):
    plan = db.truncate("customer")

    assert (plan.done, plan.rows, plan.restored) == (True, 3, 0)
    assert ask(db, "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM cart), (SELECT count(*) FROM product)") == (0, 0, 1)  # fmt: skip


def test_seeded_rows_come_back_on_request(db):
    ask(db, "INSERT INTO customer (name) VALUES ('Eve'); INSERT INTO cart (customer) VALUES (3); UPDATE customer SET name = 'Zoe' WHERE id = 1 RETURNING 1")  # fmt: skip

    plan = db.truncate("customer", restore_seed=True)

    assert (plan.rows, plan.restored) == (5, 3)
    assert "5 rows emptied, 3 rows put back" in str(plan)
    assert ask(db, "SELECT array_agg((id, name, shout)::text ORDER BY id) FROM customer") == (["(1,Ada,ADA)", "(2,Bob,BOB)"],)  # fmt: skip


def test_seeded_rows_of_a_cycle_that_nothing_loosens_come_back(db):
    assert db.truncate("a", restore_seed=True).restored == 2
    assert ask(db, "SELECT count(*) FROM a JOIN b ON a.b = b.id AND b.a = a.id") == (1,)


def test_after_all_this_the_next_test_finds_the_template(shop):
    with shop.lease(isolation="reset") as database:
        database.truncate("customer", "product", restore_seed=True)
        database.truncate("a")
        database.reset_sequences(to="one")
    with shop.lease(isolation="reset") as database:
        assert ask(database, "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM a), nextval('cart_id_seq')") == (2, 1, 2)  # fmt: skip


def test_an_unknown_table_is_refused_before_anything_is_emptied(db):
    with pytest.raises(TableUnknown, match=r"public\.product"):
        db.truncate("customer", "produkt")

    assert ask(db, "SELECT count(*) FROM customer") == (2,)


def test_nothing_named_empties_nothing(db):
    assert db.truncate().tables == ()
    assert ask(db, "SELECT count(*) FROM customer") == (2,)


def test_who_is_in_the_way_is_named_at_the_deadline(db):
    with db.connect() as busy:
        busy.execute("UPDATE cart SET customer = 2")
        with pytest.raises(WaitTimedOut, match=f"pid {busy.info.backend_pid} .*UPDATE cart") as caught:  # fmt: skip
            db.truncate("customer", deadline=0.02)

    assert len(caught.value.holders) == 1
    assert ask(db, "SELECT count(*) FROM customer") == (2,)


def test_a_shared_database_is_left_alone_but_may_be_asked(shop):
    with shop.lease(isolation="readonly") as database:
        assert database.truncate("customer", dry_run=True).rows == 3
        with pytest.raises(UsageInvalid, match="readonly"):
            database.truncate("customer")
        with pytest.raises(UsageInvalid, match="readonly"):
            database.reset_sequences()


def test_in_an_outer_transaction_a_truncation_from_beside_is_refused(shop):
    with shop.lease(isolation="rollback") as database:
        with pytest.raises(UsageInvalid, match="TRUNCATE … CASCADE"):
            database.truncate("customer")
        assert database.truncate("customer", dry_run=True).rows == 3


def test_a_server_of_its_own_knows_the_template_too(shop):
    with shop.lease(isolation="server") as database:
        ask(database, "SELECT nextval('ticket')")
        assert database.reset_sequences() == ("public.ticket",)
        assert database.truncate("product", restore_seed=True).restored == 1


def test_a_database_that_was_given_back_is_left_alone(shop):
    with shop.lease() as database:
        pass
    with pytest.raises(LeaseClosed):
        database.truncate("customer")
    with pytest.raises(LeaseClosed):
        database.reset_sequences()
