"""Nothing is emptied that was not foretold."""

import pytest

from freshpg.core.errors import StatementFailed, UsageInvalid
from freshpg.postgres.schema.reader import read_schema
from freshpg.postgres.schema.truncation import truncate

SHOP = """
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE cart (id serial, customer int REFERENCES customer, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE cart_1 PARTITION OF cart FOR VALUES FROM (0) TO (10);
CREATE TABLE cart_2 PARTITION OF cart FOR VALUES FROM (10) TO (20);
CREATE SCHEMA sales;
CREATE TABLE sales."Line" (cart int REFERENCES cart, n int);
CREATE TABLE product (id int PRIMARY KEY);
INSERT INTO customer VALUES (1), (2);
INSERT INTO cart VALUES (1, 1), (11, 2), (12, 2);
INSERT INTO sales."Line" SELECT 1, n FROM generate_series(1, 5) n;
INSERT INTO product VALUES (1);
"""


def rows(inside):
    return {
        name: inside.value(f"SELECT count(*) FROM {name}")
        for name in ("customer", "cart", 'sales."Line"', "product")
    }


def test_a_dry_run_says_what_goes_and_why_and_changes_nothing(inside, schema_of):
    schema = schema_of(SHOP)
    before = rows(inside)

    plan = truncate(inside, schema, [schema.table("customer")], dry_run=True)

    assert rows(inside) == before
    assert (plan.done, plan.rows) == (False, 10)
    assert {one.table.name: one.rows for one in plan.tables} == {"customer": 2, "cart": 0, "cart_1": 1, "cart_2": 2, "Line": 5}  # fmt: skip
    assert {one.table.name for one in plan.reached} == {"cart", "cart_1", "cart_2", "Line"}
    assert str(plan).splitlines()[0] == "5 tables, 10 rows would be emptied"
    assert '  sales."Line": 5 rows; sales."Line"(cart) references public.cart, public.cart(customer) references public.customer' in str(plan)  # fmt: skip
    first = plan.to_json()["tables"][0]
    assert first == {"table": "public.customer", "rows": 2, "because": []}


def test_what_was_foretold_is_emptied_and_nothing_else(inside, schema_of):
    schema = schema_of(SHOP)

    plan = truncate(inside, schema, [schema.table("cart")])

    assert plan.done
    assert rows(inside) == {"customer": 2, "cart": 0, 'sales."Line"': 0, "product": 1}


def test_one_partition_takes_what_references_the_whole_but_not_its_sisters(inside, schema_of):
    schema = schema_of(SHOP)

    truncate(inside, schema, [schema.table("cart_1")])

    assert rows(inside) == {"customer": 2, "cart": 2, 'sales."Line"': 0, "product": 1}


def test_sequences_stay_where_they_are(inside, schema_of):
    schema = schema_of(SHOP)
    inside.execute("SELECT setval('cart_id_seq', 12)")

    truncate(inside, schema, [schema.table("cart")])

    assert inside.value("SELECT nextval('cart_id_seq')") == 13


def test_heirs_of_a_named_table_go_with_it_but_not_those_of_a_reached_one(inside, schema_of):
    schema = schema_of("""
        CREATE TABLE base (id int PRIMARY KEY); CREATE TABLE heir () INHERITS (base);
        CREATE TABLE note (base int REFERENCES base); CREATE TABLE heir_of_note () INHERITS (note);
        INSERT INTO heir VALUES (1); INSERT INTO heir_of_note VALUES (1);
    """)

    plan = truncate(inside, schema, [schema.table("base")])

    assert [one.table.name for one in plan.tables] == ["base", "heir", "note"]
    assert inside.one("SELECT (SELECT count(*) FROM base), (SELECT count(*) FROM note)") == (0, 1)


def test_a_table_that_came_to_reference_it_meanwhile_is_never_emptied_unseen(inside, schema_of):
    schema = schema_of(SHOP)
    inside.execute("CREATE TABLE late (product int REFERENCES product)")
    inside.execute("INSERT INTO late VALUES (1)")
    inside.execute("SAVEPOINT before")

    with pytest.raises(StatementFailed, match="late"):
        truncate(inside, schema, [schema.table("product")])

    inside.execute("ROLLBACK TO before")
    assert inside.value("SELECT count(*) FROM late") == 1


def test_rows_that_lie_elsewhere_are_never_emptied(inside):
    inside.execute("""
        CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
        CREATE TABLE log (id int) PARTITION BY LIST (id);
        CREATE FOREIGN TABLE log_far PARTITION OF log FOR VALUES IN (1) SERVER far;
        CREATE MATERIALIZED VIEW summary AS SELECT 1 AS one;
    """)
    schema = read_schema(inside)

    with pytest.raises(UsageInvalid, match="log_far is a partition"):
        truncate(inside, schema, [schema.table("log")])
    with pytest.raises(UsageInvalid, match="materialized view"):
        truncate(inside, schema, [schema.table("summary")])


def test_no_tables_are_no_statement(inside, schema_of):
    plan = truncate(inside, schema_of(SHOP), [])

    assert (plan.tables, plan.sql, plan.rows) == ((), "", 0)


def test_a_cycle_and_a_table_named_twice_are_emptied_at_once(inside, schema_of):
    schema = schema_of("""
        CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b; INSERT INTO a VALUES (1);
    """)
    a = schema.table("a")

    plan = truncate(inside, schema, [a, a])

    assert plan.asked == (a,)
    assert [one.table.name for one in plan.tables] == ["a", "b"]
    assert inside.value("SELECT count(*) FROM a") == 0
