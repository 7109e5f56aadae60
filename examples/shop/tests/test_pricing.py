"""The arithmetic of an order. No database: freshpg starts nothing for these."""

from decimal import Decimal

import pytest

from shop.pricing import Discount, Shipping, add_up

PARCEL = Shipping(490, free_from_cents=5000)
GERMANY = Decimal("0.19")


def test_shipping_is_added_and_vat_is_contained():
    total = add_up(1000, vat_rate=GERMANY, shipping=PARCEL)

    assert (total.total, total.vat) == (1490, 238)


@pytest.mark.parametrize("goods, shipping", [(4999, 490), (5000, 0)], ids=["just below", "exactly"])
def test_shipping_is_free_from_a_value_on(goods, shipping):
    assert add_up(goods, vat_rate=GERMANY, shipping=PARCEL).shipping == shipping


def test_a_discount_may_cost_the_free_shipping():
    total = add_up(5000, vat_rate=GERMANY, shipping=PARCEL, discount=Discount(amount_cents=1))

    assert (total.shipping, total.total) == (490, 5489)


def test_half_a_cent_is_rounded_up():
    assert Discount(percent=50).of(25) == 13


def test_a_discount_is_at_most_the_goods():
    assert Discount(amount_cents=2000).of(1500) == 1500


def test_everything_off_leaves_the_shipping():
    total = add_up(1000, vat_rate=GERMANY, shipping=PARCEL, discount=Discount(percent=100))

    assert total.total == 490


def test_without_vat_nothing_is_contained():
    assert add_up(1000, vat_rate=Decimal(0), shipping=PARCEL).vat == 0
