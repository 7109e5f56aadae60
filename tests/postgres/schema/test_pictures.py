"""The graph as people and programs see it."""

import re

import pytest

from freshpg.postgres.schema.drawing import dot, mermaid
from freshpg.postgres.schema.fk_graph import FkGraph
from freshpg.postgres.schema.model import Column, ForeignKey, Schema, Table
from freshpg.postgres.schema.outline import order_text, reach_text
from freshpg.postgres.schema.plain_data import order_data, reach_data


def table(oid, name, *columns, **more):
    made = tuple(Column(one.rstrip("?"), "integer", not_null=not one.endswith("?")) for one in columns)  # fmt: skip
    return Table(oid, "public", name, columns=made, **more)


def key(oid, own, column, other, **more):
    return ForeignKey(oid, f"fk{oid}", own, (column,), other, ("id",), **more)


SHOP = Schema(
    (
        table(1, "cart", "id", "customer", kind="p"),
        table(2, "cart_1", "id", "customer", parents=(1,), is_partition=True),
        table(3, "customer", "id", "invited_by?"),
        table(4, 'Odd "one"#', "cart"),
        table(5, "player", "id", "team"),
        table(6, "team", "id", "captain?"),
    ),
    (
        key(10, 1, "customer", 3),
        key(11, 2, "customer", 3, parent=10),
        key(12, 3, "invited_by", 3),
        key(13, 4, "cart", 1),
        key(14, 4, "cart", 2, parent=13),
        key(15, 5, "team", 6),
        key(16, 6, "captain", 5),
    ),
)


@pytest.fixture
def graph():
    return FkGraph(SHOP)


def test_tables_are_listed_by_number_with_what_they_reference(graph):
    assert (
        order_text(graph)
        == """\
5 tables, 1 partition, 5 foreign keys, 1 cycle
Rows go in from the first number to the last and out the other way; tables of one number in any order.

1  public.customer
       invited_by → itself  (may be NULL)
   public.team  (in a cycle)
       captain → public.player  (may be NULL)
   public.player  (in a cycle)
       team → public.team
2  public.cart  (1 partition)
       customer → public.customer
3  public."Odd ""one""#"
       cart → public.cart

cycle of public.player, public.team
  in: public.team, public.player
    NULL until the last of them is in: public.team(captain) → public.player(id)
  out: public.player, public.team
    NULL before the first of them goes: public.team(captain) → public.player(id)"""
    )


def circle(**more):
    tables = (table(1, "a", "id", "b"), table(2, "b", "id", "a"))
    return FkGraph(Schema(tables, (key(10, 1, "b", 2, **more), key(11, 2, "a", 1))))


@pytest.mark.parametrize(
    "more, words",
    [
        ({}, ["in: only together, in one statement (WITH … INSERT)", "out: only together, in one statement (WITH … DELETE)"]),
        ({"deferrable": True}, ["deferred to the commit: public.a(b) → public.b(id)"]),
        ({"on_delete": "cascade"}, ["in: only together", "deleted along (ON DELETE CASCADE): public.a(b)"]),
    ],
)  # fmt: skip
def test_a_cycle_says_how_its_rows_go_in_and_out(more, words):
    text = order_text(circle(**more))

    assert [word for word in words if word not in text] == []


def test_a_key_that_every_partition_repeats_is_shown_once():
    parts = [table(n, f"log_{n}", "shop", parents=(1,), is_partition=True) for n in (3, 4)]
    keys = (key(10, 3, "shop", 2), key(11, 4, "shop", 2))
    graph = FkGraph(Schema((table(1, "log", "shop", kind="p"), table(2, "shop", "id"), *parts), keys))  # fmt: skip

    assert order_text(graph).endswith("shop → public.shop  (in 2 partitions)")


def test_what_a_truncation_reaches_is_a_tree(graph):
    assert (
        reach_text(graph, [SHOP.table("customer"), SHOP.table("player")])
        == """\
TRUNCATE public.customer, public.player CASCADE empties 4 other tables too

public.customer
├─ public.cart (customer)
│  └─ public."Odd ""one""#" (cart)
└─ public.cart_1 (customer)

public.player
└─ public.team (captain)"""
    )


def test_a_table_that_drags_nothing_along_says_so(graph):
    text = reach_text(graph, [SHOP.table('"Odd ""one""#"')])

    assert text.splitlines()[0].endswith("empties 0 other tables too")


def test_data_holds_orders_cycles_and_reasons(graph):
    data = order_data(graph)

    assert data["insertion_order"] == ["public.customer", "public.team", "public.player", "public.cart", "public.cart_1", 'public."Odd ""one""#"']  # fmt: skip
    assert data["deletion_order"] == ['public."Odd ""one""#"', "public.cart_1", "public.cart", "public.player", "public.team", "public.customer"]  # fmt: skip
    cart = next(one for one in data["tables"] if one["table"] == "public.cart")
    assert (cart["order"], cart["kind"], cart["partitions"]) == (2, "partitioned", ["public.cart_1"])  # fmt: skip
    assert [(one["columns"], one["references"], one["required"]) for one in cart["references"]] == [(["customer"], "public.customer", True)]  # fmt: skip
    (cycle,) = data["cycles"]
    assert cycle["insertion"] == {"possible": True, "order": ["public.team", "public.player"], "postponed": ["public.team(captain) → public.player(id)"], "stuck": []}  # fmt: skip
    assert data["self_references"] == ["public.customer(invited_by) → public.customer(id)"]
    reached = reach_data(graph, [SHOP.table("cart_1")])
    assert reached == {
        "tables": ["public.cart_1"],
        "reaches": [
            {
                "table": 'public."Odd ""one""#"',
                "because": ['public."Odd ""one""#"(cart) references public.cart_1'],
            }
        ],
    }


def test_graphviz_draws_every_arrow_once(graph):
    drawn = dot(graph)

    assert re.findall(r"^  (.* -> .*);$", drawn, re.MULTILINE) == [
        '"public.customer" -> "public.customer" [style=dashed]',
        '"public.player" -> "public.team" [color=red]',
        '"public.team" -> "public.player" [style=dashed, color=red]',
        '"public.cart" -> "public.customer"',
        '"public.\\"Odd \\"\\"one\\"\\"#\\"" -> "public.cart"',
    ]


def test_mermaid_draws_the_same(graph):
    assert mermaid(graph).splitlines() == [
        "flowchart LR",
        '  t1["public.customer"]',
        '  t2["public.player"]',
        '  t3["public.team"]',
        '  t4["public.cart"]',
        '  t5["public.#quot;Odd #quot;#quot;one#quot;#quot;#35;#quot;"]',
        "  t1 -.-> t1",
        "  t2 ==> t3",
        "  t3 -.-> t2",
        "  t4 --> t1",
        "  t5 --> t4",
    ]


def test_a_part_is_drawn_without_the_rest(graph):
    reached = graph.reach([SHOP.table("cart_1")])

    assert mermaid(graph, reached).splitlines()[1:] == ['  t1["public.cart"]', '  t2["public.#quot;Odd #quot;#quot;one#quot;#quot;#35;#quot;"]', "  t2 --> t1"]  # fmt: skip
    assert dot(graph, reached).count("->") == 1


def test_an_empty_database_has_an_empty_graph():
    graph = FkGraph(Schema(()))

    assert order_text(graph) == "0 tables, 0 foreign keys, 0 cycles"
    assert mermaid(graph) == "flowchart LR"
    assert order_data(graph)["insertion_order"] == []
