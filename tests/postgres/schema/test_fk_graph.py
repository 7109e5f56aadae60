"""The graph against a slow and simple one, and its promises against a server."""

import itertools
from dataclasses import replace

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshpg.postgres.schema.components import strongly_connected
from freshpg.postgres.schema.fk_graph import FkGraph
from freshpg.postgres.schema.model import Column, ForeignKey, Schema, Table


def closure(edges):
    """Every pair of which the second can be reached from the first: as simple as it gets."""
    pairs = set(edges)
    while True:
        more = {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs
        if not more:
            return pairs
        pairs |= more


@st.composite
def graphs(draw, most=7):
    size = draw(st.integers(1, most))
    nodes = st.integers(0, size - 1)
    return size, draw(st.lists(st.tuples(nodes, nodes), max_size=3 * size))


@st.composite
def schemas(draw):
    """Up to seven tables, any foreign keys between them, the columns nullable or not."""
    size, pairs = draw(graphs())
    keys, columns = [], {number: [] for number in range(size)}
    for oid, (own, other) in enumerate(pairs, 100):
        names = tuple(f"k{oid}_{part}" for part in range(draw(st.integers(1, 2))))
        columns[own] += [Column(name, "integer", draw(st.booleans())) for name in names]
        keys.append(
            ForeignKey(
                oid,
                f"fk{oid}",
                own + 1,
                names,
                other + 1,
                names,
                deferrable=draw(st.booleans()),
                on_delete=draw(st.sampled_from(["no action", "restrict", "cascade", "set null"])),
                match_full=draw(st.booleans()),
            )
        )
    tables = [
        Table(number + 1, "public", f"t{number}", columns=tuple(columns[number]))
        for number in range(size)
    ]
    return Schema(tuple(tables), tuple(keys))


def pairs_of(keys):
    return {(key.table, key.references) for key in keys if key.table != key.references}


def nullable(schema, key):
    free = [not schema.table_by_oid(key.table).column(name).not_null for name in key.columns]
    return all(free) if key.match_full else any(free)


@given(graphs(most=10))
def test_components_are_the_sets_of_nodes_that_reach_each_other(graph):
    size, edges = graph
    onward = {node: [b for a, b in edges if a == node] for node in range(size)}
    reaches = closure(edges) | {(node, node) for node in range(size)}

    found = strongly_connected(onward)

    assert sorted(node for group in found for node in group) == list(range(size))
    for a, b in itertools.product(range(size), repeat=2):
        together = any(a in group and b in group for group in found)
        assert together == ((a, b) in reaches and (b, a) in reaches)
    place = {node: number for number, group in enumerate(found) for node in group}
    assert all(place[b] <= place[a] for a, b in edges)


def test_a_chain_as_long_as_no_stack_is_ordered():
    size = 20_000

    found = strongly_connected({node: [node + 1] for node in range(size)} | {size: []})

    assert found[0] == (size,)
    assert len(found) == size + 1


@given(schemas())
def test_each_table_stands_after_those_it_references_unless_they_form_a_cycle(schema):
    graph = FkGraph(schema)
    reaches = closure(pairs_of(schema.foreign_keys))
    order = [table.oid for table in graph.insertion_order()]
    backward = [table.oid for table in graph.deletion_order()]

    assert sorted(order) == sorted(backward) == [table.oid for table in schema.tables]
    for own, other in pairs_of(schema.foreign_keys):
        if (other, own) not in reaches:
            assert order.index(other) < order.index(own)
            assert backward.index(own) < backward.index(other)


@given(schemas())
def test_a_number_is_one_more_than_the_highest_it_rests_on(schema):
    graph = FkGraph(schema)
    number = {table.oid: part.number for part in graph.components for table in part.tables}
    members = {table.oid: {t.oid for t in part.tables} for part in graph.components for table in part.tables}  # fmt: skip

    for part in graph.components:
        below = [
            number[key.references]
            for key in schema.foreign_keys
            if key.table in members[part.tables[0].oid]
            and key.references not in members[part.tables[0].oid]
        ]
        assert part.number == 1 + max(below, default=0)


@given(schemas())
def test_cycles_are_the_tables_that_reach_each_other(schema):
    reaches = closure(pairs_of(schema.foreign_keys))
    expected = {
        frozenset(a.oid for a in schema.tables if {(a.oid, b.oid), (b.oid, a.oid)} <= reaches)
        for b in schema.tables
    } - {frozenset()}

    found = FkGraph(schema).cycles()

    assert {frozenset(table.oid for table in cycle.tables) for cycle in found} == expected


@given(schemas())
def test_a_way_breaks_only_what_may_wait_and_is_stuck_only_where_nothing_may(schema):
    def may_insert_first(key):
        return key.deferrable or nullable(schema, key)

    def may_delete_last(key):
        return (
            (key.deferrable and key.on_delete == "no action")
            or key.on_delete == "cascade"
            or nullable(schema, key)
        )

    for cycle in FkGraph(schema).cycles():
        inner = [
            key
            for key in schema.foreign_keys
            if key.table != key.references
            and {key.table, key.references} <= {table.oid for table in cycle.tables}
        ]
        assert set(cycle.foreign_keys) == set(inner)
        for way, waits, before in (
            (cycle.insertion, may_insert_first, lambda key: (key.references, key.table)),
            (cycle.deletion, may_delete_last, lambda key: (key.table, key.references)),
        ):
            firm = [key for key in inner if not waits(key)]
            circles = closure(before(key) for key in firm)
            assert set(way.stuck) == {key for key in firm if before(key)[::-1] in circles}
            assert way.possible == (not way.stuck)
            order = [table.oid for table in way.order]
            assert sorted(order) == sorted(table.oid for table in cycle.tables)
            for key in inner:
                first, then = map(order.index, before(key))
                assert first < then or key in {*way.postponed, *way.stuck} or key_shares_a_stuck_pair(key, way)  # fmt: skip
            pairs_postponed = pairs_of(way.postponed)
            for key in firm:
                assert (key.table, key.references) not in pairs_postponed


def key_shares_a_stuck_pair(key, way):
    return (key.table, key.references) in pairs_of(way.stuck)


def key(oid, own, other, name="x", **more):
    return ForeignKey(oid, f"fk{oid}", own, (name,), other, ("id",), **more)


def table(oid, name, *, not_null=True, **more):
    return Table(oid, "public", name, columns=(Column("x", "integer", not_null),), **more)


def names(tables):
    return [table.name for table in tables]


def test_of_two_tables_in_a_circle_the_one_that_may_wait_goes_first():
    schema = Schema((table(1, "a"), table(2, "b", not_null=False)), (key(10, 1, 2), key(11, 2, 1)))

    (cycle,) = FkGraph(schema).cycles()

    assert names(cycle.insertion.order) == ["b", "a"]
    assert [one.oid for one in cycle.insertion.postponed] == [11]
    assert names(cycle.deletion.order) == ["a", "b"]


def test_a_key_that_restricts_cannot_be_deferred_when_rows_go_out():
    schema = Schema(
        (table(1, "a"), table(2, "b")),
        (key(10, 1, 2, deferrable=True, on_delete="restrict"), key(11, 2, 1, on_delete="restrict")),
    )

    (cycle,) = FkGraph(schema).cycles()

    assert cycle.insertion.possible
    assert not cycle.deletion.possible


def test_a_table_that_references_itself_is_no_cycle():
    graph = FkGraph(Schema((table(1, "employee"),), (key(10, 1, 1),)))

    assert graph.cycles() == ()
    assert [one.oid for one in graph.self_references()] == [10]
    assert names(graph.insertion_order()) == ["employee"]


def test_a_partition_needs_what_the_whole_needs_and_the_whole_what_a_partition_needs():
    orders = table(1, "orders", kind="p")
    old = table(2, "orders_old", parents=(1,), is_partition=True)
    shop, line, note = table(3, "shop"), table(4, "a_line"), table(5, "zz_note")
    schema = Schema(
        (line, orders, old, shop, note),
        (
            key(10, 1, 3),
            key(11, 2, 3, parent=10),
            key(12, 4, 1),
            key(13, 4, 2, parent=12),
            key(14, 2, 5),
        ),
    )

    graph = FkGraph(schema)

    assert names(graph.insertion_order()) == ["shop", "zz_note", "orders", "orders_old", "a_line"]
    assert names(graph.deletion_order()) == ["a_line", "orders_old", "orders", "zz_note", "shop"]
    assert [part.number for part in graph.components] == [1, 1, 2, 3]
    assert {one.oid for one in graph.references(old)} == {10, 14}


def test_materialized_views_are_not_filled_and_so_have_no_place():
    schema = Schema((table(1, "a"), table(2, "summary", kind="m")))

    assert names(FkGraph(schema).insertion_order()) == ["a"]


def test_match_full_asks_for_null_in_every_column():
    columns = (Column("x", "integer", not_null=True), Column("y", "integer", not_null=False))
    simple = ForeignKey(10, "fk", 1, ("x", "y"), 1, ("x", "y"))
    schema = Schema((Table(1, "public", "t", columns=columns),), (simple,))
    graph = FkGraph(schema)

    assert not graph.is_required(simple)
    assert graph.is_required(replace(simple, match_full=True))


CIRCLE = """
CREATE TABLE team (id int PRIMARY KEY, captain int {null});
CREATE TABLE player (id int PRIMARY KEY, team int NOT NULL REFERENCES team ON DELETE {act});
ALTER TABLE team ADD CONSTRAINT captain FOREIGN KEY (captain) REFERENCES player ON DELETE {act} {defer};
"""


@pytest.mark.parametrize("act", ["NO ACTION", "RESTRICT"])
def test_tables_that_are_stuck_are_filled_and_emptied_in_one_statement(inside, schema_of, act):
    schema = schema_of(CIRCLE.format(null="NOT NULL", act=act, defer=""))
    (cycle,) = FkGraph(schema).cycles()
    assert not cycle.insertion.possible
    assert not cycle.deletion.possible

    inside.execute("WITH t AS (INSERT INTO team VALUES (1, 1)) INSERT INTO player VALUES (1, 1)")
    inside.execute("WITH t AS (DELETE FROM team) DELETE FROM player")

    assert inside.one("SELECT FROM team, player") is None


def test_a_key_that_may_be_null_waits_until_the_others_are_in(inside, schema_of):
    schema = schema_of(CIRCLE.format(null="", act="NO ACTION", defer=""))
    (cycle,) = FkGraph(schema).cycles()
    assert names(cycle.insertion.order) == ["team", "player"]
    assert names(cycle.deletion.order) == ["player", "team"]

    inside.execute("INSERT INTO team VALUES (1, NULL)")
    inside.execute("INSERT INTO player VALUES (1, 1)")
    inside.execute("UPDATE team SET captain = 1")

    inside.execute("UPDATE team SET captain = NULL")
    inside.execute("DELETE FROM player")
    inside.execute("DELETE FROM team")


def test_a_deferrable_key_waits_for_the_commit(inside, schema_of):
    schema = schema_of(CIRCLE.format(null="NOT NULL", act="NO ACTION", defer="DEFERRABLE"))
    (cycle,) = FkGraph(schema).cycles()
    assert [one.name for one in cycle.insertion.postponed] == ["captain"]
    assert [one.name for one in cycle.deletion.postponed] == ["captain"]

    inside.execute("SET CONSTRAINTS captain DEFERRED")
    inside.execute("INSERT INTO team VALUES (1, 1)")
    inside.execute("INSERT INTO player VALUES (1, 1)")
    inside.execute("DELETE FROM player")
    inside.execute("DELETE FROM team")
    inside.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_rows_go_into_any_schema_in_insertion_order_and_out_in_deletion_order(inside, schema_of):
    schema = schema_of("""
        CREATE SCHEMA sales; CREATE SCHEMA stock;
        CREATE TABLE sales.line (a int, b int, n int, PRIMARY KEY (a, b, n));
        CREATE TABLE stock.item (a int, b int, PRIMARY KEY (a, b));
        CREATE TABLE public.area (a int PRIMARY KEY, up int NOT NULL REFERENCES area);
        ALTER TABLE sales.line ADD FOREIGN KEY (a, b) REFERENCES stock.item;
        ALTER TABLE stock.item ADD FOREIGN KEY (a) REFERENCES area;
    """)
    graph = FkGraph(schema)
    assert [one.qualified for one in graph.insertion_order()] == ["public.area", "stock.item", "sales.line"]  # fmt: skip

    for one in graph.insertion_order():
        ones = ", ".join("1" for _ in one.columns)
        inside.execute(f"INSERT INTO {one.sql} VALUES ({ones})")
    inside.execute("SAVEPOINT filled")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        inside.connection.execute("DELETE FROM area")
    inside.execute("ROLLBACK TO filled")
    for one in graph.deletion_order():
        inside.execute(f"DELETE FROM {one.sql}")
