"""freshpg graph: in order for people, as data for programs, as a picture."""

import pytest

pytestmark = pytest.mark.timeout(120)

SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE cart (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer);
CREATE TABLE line (cart int REFERENCES cart);
"""


@pytest.fixture
def shop(project):
    (project / "schema.sql").write_text(SCHEMA)
    return project


def test_tables_are_shown_in_the_order_rows_go_in(here, shop):
    ended = here("graph")

    assert ended.code == 0
    numbered = [line for line in ended.out.splitlines() if line[:1].isdigit()][1:]
    assert numbered == ["1  public.customer", "2  public.cart", "3  public.line"]
    assert "customer → public.customer" in ended.out


def test_every_form_is_of_one_schema(here, shop):
    data = here("graph", "--json").json

    assert data["insertion_order"] == ["public.customer", "public.cart", "public.line"]
    assert data["deletion_order"] == ["public.line", "public.cart", "public.customer"]
    assert "truncation" not in data
    assert here("graph", "--format", "json").json["tables"] == data["tables"]
    assert '"public.cart" -> "public.customer"' in here("graph", "--format", "dot").out
    assert here("graph", "--format", "mermaid").out.startswith("flowchart LR\n")


def test_what_a_truncation_reaches_is_shown_with_the_reason(here, shop):
    text = here("graph", "--table", "CART").out
    data = here("graph", "--table", "public.cart", "--json").json

    assert text.splitlines()[-2:] == ["public.cart", "└─ public.line (cart)"]
    assert data["truncation"]["reaches"] == [
        {"table": "public.line", "because": ["public.line(cart) references public.cart"]}
    ]


def test_an_unknown_table_is_a_usage_error_with_the_nearest(here, shop):
    ended = here("graph", "--table", "custmer")

    assert ended.code == 2
    assert "FPG-C08 no such table" in ended.err
    assert "did you mean public.customer?" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "svg"),
        ("--json", "--format", "dot"),
        ("--blueprint", "main", "--database", "shop_test"),
    ],
)
def test_wrong_words_are_a_usage_error_and_start_nothing(here, shop, words):
    assert here("graph", *words).code == 2
    assert here("status", "--json").json["servers"] == []


def test_a_database_that_is_in_use_is_looked_at_as_it_is(here, shop):
    from freshpg.manager import DatabaseManager

    with DatabaseManager.from_project(shop) as manager, manager.lease(isolation="clone") as lent:
        with lent.connect(autocommit=True) as connection:
            connection.execute("CREATE TABLE made_by_the_test (line int REFERENCES customer)")
        data = here("graph", "--database", lent.name, "--json").json

    assert data["database"] == lent.name
    assert "public.made_by_the_test" in data["insertion_order"]


def test_a_database_that_does_not_exist_is_a_usage_error(here, shop):
    ended = here("graph", "--database", "shop_tset")

    assert ended.code == 2
    assert "FPG-C07" in ended.err
