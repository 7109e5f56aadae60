import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshpg.leases.slots import READONLY, Slot, lock_class, number_of


def test_the_first_slot_has_the_plain_name_and_the_others_are_counted():
    assert [Slot("shop_test", number).name for number in (1, 2, 10)] == [
        "shop_test",
        "shop_test_2",
        "shop_test_10",
    ]


@given(st.sampled_from(["shop_test", "shop", "a_2", "ü"]), st.integers(1, 999_999))
def test_a_slot_is_found_again_from_both_of_its_names(base, number):
    slot = Slot(base, number)
    assert number_of(slot.name, base) == number
    assert number_of(slot.used_name, base) == number


def test_the_shared_read_only_database_belongs_to_slot_zero():
    assert number_of("shop_test_readonly", "shop_test") == READONLY


@pytest.mark.parametrize(
    "name",
    [
        "shop_test_template_0f1e2d3c4b5a",
        "shop_test_failed_1",
        "shop_test_01",
        "shop_test_0",
        "shop_test_1",
        "shop_test_2_3",
        "shop_test_2 ",
        "shop_test_used",
        "shop_test_used_",
        "shop_test2",
        "shop_tes",
        "my_shop_test_2",
        "shop_test_٢",
        "",
    ],
)
def test_a_name_that_is_no_slots_belongs_to_none(name):
    assert number_of(name, "shop_test") is None


@given(st.text(max_size=63))
def test_a_lock_class_fits_the_first_key_of_an_advisory_lock(base):
    assert -(2**31) <= lock_class(base) < 2**31


def test_two_bases_have_two_lock_classes():
    assert lock_class("shop_test") != lock_class("shop_test_2")


def test_an_ending_alone_is_no_slot_of_anybody():
    for name in ("_2", "_used_2", "", "2"):
        assert number_of(name, "shop_test") is None


def test_the_read_only_database_has_the_number_that_no_slot_has():
    assert READONLY == 0
    assert number_of("shop_test_0", "shop_test") is None
