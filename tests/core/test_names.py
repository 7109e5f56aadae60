"""Names are counted in bytes before PostgreSQL cuts them, and tell what they belong to."""

import psycopg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from freshpg.core import names
from freshpg.core.errors import NameInvalid

LONGEST = names.MAX_BYTES - names.SUFFIX_BYTES
MADE = [
    lambda base: names.slot_name(base, 999_999),
    lambda base: names.template_name(base, "0123456789abcdef" * 4),
    lambda base: names.building_name(base, "0123456789abcdef" * 4),
    lambda base: names.used_name(base, 999_999),
    names.readonly_name,
    lambda base: names.failed_name(base, 999_999),
    lambda base: names.used_name(names.tenants_base(base), 9_999),
]


@pytest.mark.parametrize(
    "name",
    [
        "shop_test",
        "Shop Test",
        "shop-test",
        "läden",
        '"quoted"',
        "a" * LONGEST,
        "é" * (LONGEST // 2),
    ],
)
def test_a_name_postgresql_takes_whole_is_kept_as_it_is(name):
    assert names.validate_database_name(name) == name


@pytest.mark.parametrize(
    "name, seen",
    [
        ("", "empty"),
        (" \t", "empty"),
        ("a\0b", "NUL"),
        ("a\nb", "control"),
        ("a\ud800", "surrogate"),
        ("postgres", "reserved"),
        ("Template1", "reserved"),
        ("replication", "reserved"),
        ("a" * (LONGEST + 1), f"{LONGEST + 1} bytes"),
        ("é" * 21, "42 bytes"),
        ("😀" * 11, "44 bytes"),
        (None, "NoneType"),
        (b"shop", "bytes"),
        (3, "int"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_the_reason(name, seen):
    with pytest.raises(NameInvalid) as caught:
        names.validate_database_name(name)
    assert seen in caught.value.seen
    assert caught.value.name == name
    assert caught.value.todo


@given(st.text(min_size=1))
def test_every_name_made_of_a_valid_one_fits(base):
    try:
        names.validate_database_name(base)
    except NameInvalid:
        assume(False)
    for make in MADE:
        made = make(base)
        assert len(made.encode()) <= names.MAX_BYTES
        assert names.is_derived_name(made, base)


def test_the_first_slot_has_the_plain_name():
    assert [names.slot_name("shop_test", n) for n in (1, 2, 10)] == [
        "shop_test",
        "shop_test_2",
        "shop_test_10",
    ]


def test_the_names_are_the_documented_ones():
    assert [
        names.template_name("shop_test", "1a2b3c4d5e6f7a8b"),
        names.used_name("shop_test", 1),
        names.readonly_name("shop_test"),
        names.failed_name("shop_test", 3),
        names.tenants_base("shop_test"),
    ] == [
        "shop_test_template_1a2b3c4d5e6f",
        "shop_test_used_1",
        "shop_test_readonly",
        "shop_test_failed_3",
        "shop_test_tenantdb",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "shop_test",
        "shop_test_two",
        "shop_test2",
        "shop_test_",
        "other_2",
        "shop_test_2x",
        "shop_test_٢",
    ],
)
def test_names_that_only_begin_alike_are_not_derived(name):
    assert not names.is_derived_name(name, "shop_test")


@pytest.mark.parametrize(
    "project, blueprint, name",
    [
        ("shop", "main", "shop_test"),
        ("My Shop-2", "main", "my_shop_2_test"),
        ("Läden", "main", "laden_test"),
        ("店", "main", "app_test"),
        ("", "main", "app_test"),
        ("shop", "event-store", "shop_event_store_test"),
        ("a" * 99, "b" * 99, f"{'a' * 17}_{'b' * 17}_test"),
    ],
)
def test_a_default_name_is_plain_and_says_whose_it_is(project, blueprint, name):
    assert names.default_database_name(project, blueprint) == name


@given(st.text(), st.text())
def test_every_default_name_is_valid(project, blueprint):
    names.validate_database_name(names.default_database_name(project, blueprint))


def test_postgresql_really_cuts_what_we_refuse(awkward_server):
    with psycopg.connect(**awkward_server.keywords()) as connection:
        cut = connection.execute("SELECT %s::name::text", ("é" * 32,)).fetchone()[0]
    assert len(cut.encode()) <= names.MAX_BYTES
    assert cut != "é" * 32
