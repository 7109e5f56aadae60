"""Names of tables are read as PostgreSQL reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshpg.core.errors import TableUnknown
from freshpg.postgres.quoting import ident, readable
from freshpg.postgres.schema.model import Schema, Table
from freshpg.postgres.schema.naming import parse


def schema(*names, search_path=("public",)):
    tables = [Table(oid, *name) for oid, name in enumerate(names, 1)]
    return Schema(tuple(tables), search_path=search_path)


SHOP = schema(
    ("public", "cart"),
    ("public", "Cart"),
    ("archive", "cart"),
    ("archive", "receipt"),
    ("a.b", 'odd "one"'),
    ("audit", "log"),
    ("billing", "log"),
)


@pytest.mark.parametrize(
    "written, qualified",
    [
        ("cart", "public.cart"),
        ("CART", "public.cart"),
        ('"cart"', "public.cart"),
        ('"Cart"', 'public."Cart"'),
        (" public . cart ", "public.cart"),
        ("Public.Cart", "public.cart"),
        ('"public".cart', "public.cart"),
        ("archive.cart", "archive.cart"),
        ("receipt", "archive.receipt"),
        ('"a.b"."odd ""one"""', '"a.b"."odd ""one"""'),
        ("audit.log", "audit.log"),
    ],
)
def test_a_name_means_what_it_means_in_sql(written, qualified):
    assert SHOP.table(written).qualified == qualified


@pytest.mark.parametrize("written", ["", ".", "cart.", ".cart", "a.b.c", '"cart', "1cart", "ca rt", '""', "cart;", "cart\n-- x"])  # fmt: skip
def test_what_is_no_name_is_refused(written):
    with pytest.raises(TableUnknown, match="this is no name"):
        SHOP.table(written)


def test_an_unknown_table_is_answered_with_the_nearest():
    with pytest.raises(TableUnknown) as caught:
        SHOP.table("recipt")

    assert caught.value.nearest == ("archive.receipt",)
    assert "did you mean archive.receipt?" in str(caught.value)


def test_a_name_in_the_wrong_case_is_answered_with_the_right_one():
    with pytest.raises(TableUnknown) as caught:
        schema(("public", "OrderLine")).table("OrderLine")

    assert caught.value.nearest == ('public."OrderLine"',)


def test_a_table_of_another_schema_is_near():
    with pytest.raises(TableUnknown) as caught:
        SHOP.table("public.receipt")

    assert caught.value.nearest[0] == "archive.receipt"


def test_a_name_that_the_search_path_does_not_tell_apart_is_refused_with_all_it_may_mean():
    with pytest.raises(TableUnknown, match=r"audit\.log, billing\.log") as caught:
        SHOP.table("log")

    assert caught.value.nearest == ("audit.log", "billing.log")


def test_the_search_path_decides_as_the_server_does():
    found = schema(("a", "t"), ("b", "t"), search_path=("b", "a"))

    assert found.table("t").qualified == "b.t"


def test_a_database_without_tables_says_so():
    with pytest.raises(TableUnknown, match="has no tables"):
        schema().table("cart")


NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15
)


@given(NAMES, NAMES)
def test_a_quoted_name_is_read_back_as_it_is(place, name):
    assert parse(f"{ident(place)}.{ident(name)}") == (place, name)


@given(NAMES, NAMES)
def test_what_is_shown_to_a_person_can_be_written_again(place, name):
    assert parse(f"{readable(place)}.{readable(name)}") == (place, name)


def test_the_server_reads_names_the_same_way(inside):
    for written in ("cart", "CaRt", '"Cart"', "café", '"CAFÉ"', "a$1", "_x"):
        inside.execute(f"CREATE TABLE {written} ()")
        (name,) = inside.one("SELECT relname FROM pg_class ORDER BY oid DESC LIMIT 1")
        assert parse(written) == ("", name)
        inside.execute(f"DROP TABLE {written}")
