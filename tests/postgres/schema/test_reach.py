"""What a TRUNCATE … CASCADE empties is foretold as the server then does it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from freshpg.postgres.schema.model import ForeignKey, Schema, Table
from freshpg.postgres.schema.reach import reach


@st.composite
def schemas(draw):
    size = draw(st.integers(1, 7))
    nodes = st.integers(1, size)
    pairs = draw(st.lists(st.tuples(nodes, nodes), max_size=14))
    keys = [ForeignKey(oid, f"fk{oid}", a, ("x",), b, ("x",)) for oid, (a, b) in enumerate(pairs, 100)]  # fmt: skip
    tables = tuple(Table(oid, "public", f"t{oid}") for oid in range(1, size + 1))
    return Schema(tables, tuple(keys)), draw(st.lists(st.sampled_from(tables), min_size=1))


@given(schemas())
def test_the_way_to_each_table_is_real_and_the_shortest(case):
    schema, asked = case
    distance = {table.oid: 0 for table in asked}
    for step in itertools.count(1):
        following = {k.table for k in schema.foreign_keys if k.references in distance} - set(distance)  # fmt: skip
        if not following:
            break
        distance |= dict.fromkeys(following, step)

    paths = reach(schema, asked)

    assert {table.oid: len(path.hops) for table, path in paths.items()} == distance
    for table, path in paths.items():
        here = path.start
        assert here in asked
        for hop in path.hops:
            assert hop.source is here
            assert (hop.foreign_key.references, hop.foreign_key.table) == (here.oid, hop.target.oid)
            here = hop.target
        assert here is table


FAMILIES = """
CREATE TABLE x (id int PRIMARY KEY, kind int REFERENCES x) PARTITION BY RANGE (id);
CREATE TABLE x1 PARTITION OF x FOR VALUES FROM (0) TO (10);
CREATE TABLE x2 PARTITION OF x FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE x21 PARTITION OF x2 FOR VALUES FROM (10) TO (15);
CREATE TABLE y (id int PRIMARY KEY, x int REFERENCES x);
CREATE TABLE z (id int PRIMARY KEY, y int REFERENCES y) PARTITION BY HASH (id);
CREATE TABLE z0 PARTITION OF z FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE only_x21 (id int PRIMARY KEY, x int REFERENCES x21);
CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
CREATE TABLE to_p (id int PRIMARY KEY, p int REFERENCES p);
CREATE TABLE to_p1 (id int PRIMARY KEY, p int REFERENCES p1);
CREATE TABLE q (id int PRIMARY KEY, p int REFERENCES p) PARTITION BY HASH (id);
CREATE TABLE q0 PARTITION OF q FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE base (id int PRIMARY KEY);
CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE to_base (id int PRIMARY KEY, base int REFERENCES base);
CREATE TABLE to_heir (id int PRIMARY KEY, heir int REFERENCES heir);
CREATE TABLE heir_of_to_base () INHERITS (to_base);
CREATE TABLE ring_a (id int PRIMARY KEY, b int);
CREATE TABLE ring_b (id int PRIMARY KEY, a int REFERENCES ring_a);
ALTER TABLE ring_a ADD FOREIGN KEY (b) REFERENCES ring_b;
"""


def emptied_by_the_server(inside, table):
    """The tables whose files TRUNCATE exchanges: the server's own word on what it emptied."""
    files = "SELECT oid, relfilenode FROM pg_class WHERE relkind = 'r' AND oid >= 16384"
    before = set(inside.rows(files))
    # In the (sub)transaction that made a file it would be emptied in place.
    inside.execute("SAVEPOINT truncating")
    inside.execute(f"TRUNCATE {table.sql} CASCADE")
    after = set(inside.rows(files))
    inside.execute("ROLLBACK TO truncating")
    return {oid for oid, _ in before - after}


def test_the_server_empties_what_was_foretold(inside, schema_of):
    schema = schema_of(FAMILIES)
    foretold, done = {}, {}
    for table in schema.tables:
        reached = reach(schema, [table])
        foretold[table.name] = {one.name for one in reached if one.kind == "r"}
        done[table.name] = {schema.by_oid(oid).name for oid in emptied_by_the_server(inside, table)}

    assert foretold == done
    assert foretold["p2"] == {"p2", "to_p", "q0"}
    assert foretold["base"] == {"base", "heir", "to_base", "to_heir"}


def test_the_reason_is_given_from_the_end_to_the_start(schema_of):
    schema = schema_of("""
        CREATE TABLE cart (id int PRIMARY KEY) PARTITION BY LIST (id);
        CREATE TABLE cart_1 PARTITION OF cart FOR VALUES IN (1);
        CREATE TABLE line (id int PRIMARY KEY, cart int REFERENCES cart);
        CREATE TABLE note (line int REFERENCES line);
    """)
    paths = reach(schema, [schema.table("cart")])

    why = {table.name: str(path) for table, path in paths.items()}
    assert why == {
        "cart": "public.cart was asked for",
        "cart_1": "public.cart_1 is a partition of public.cart",
        "line": "public.line(cart) references public.cart",
        "note": "public.note(line) references public.line, public.line(cart) references public.cart",
    }
