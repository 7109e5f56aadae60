"""Coupons."""

import psycopg
import pytest


@pytest.fixture
def _chess(goods) -> None:
    goods.product("chess", price=2000, stock=100)


pytestmark = pytest.mark.usefixtures("_chess")


async def test_a_percentage_is_taken_off_the_goods(ada, goods):
    goods.coupon("TEN", percent=10)

    order = (await ada.buy(await ada.cart(chess=1), coupon="TEN")).json()

    assert (order["discount_cents"], order["total_cents"]) == (200, 2290)


async def test_an_amount_is_taken_off_the_goods(ada, goods):
    goods.coupon("FIVE", amount=500)

    order = (await ada.buy(await ada.cart(chess=1), coupon="FIVE")).json()

    assert order["total_cents"] == 1990


async def test_an_amount_never_pays_money_out(ada, goods):
    goods.coupon("RICH", amount=10_000)

    order = (await ada.buy(await ada.cart(chess=1), coupon="RICH", shipping="pickup")).json()

    assert order["total_cents"] == 0


async def test_a_code_is_the_same_in_small_letters(ada, goods):
    goods.coupon("TEN", percent=10)

    assert (await ada.buy(await ada.cart(chess=1), coupon="ten")).status_code == 201


async def test_nobody_uses_a_coupon_twice(ada, bob, goods):
    goods.coupon("TEN", percent=10)
    await ada.buy(await ada.cart(chess=1), coupon="TEN")

    again = await ada.buy(await ada.cart(chess=1), coupon="TEN")
    other = await bob.buy(await bob.cart(chess=1), coupon="TEN")

    assert (again.status_code, other.status_code) == (422, 201)


async def test_a_refused_second_use_is_not_counted(ada, goods, ask):
    goods.coupon("TEN", percent=10)
    await ada.buy(await ada.cart(chess=1), coupon="TEN")
    await ada.buy(await ada.cart(chess=1), coupon="TEN")

    assert ask("SELECT used FROM coupons") == 1


@pytest.mark.parametrize(
    "during", ["(,2000-01-01)", "(2999-01-01,)"], ids=["over", "not yet valid"]
)
async def test_a_coupon_is_valid_in_its_time(ada, goods, during):
    goods.coupon("TEN", percent=10, during=during)

    answer = await ada.buy(await ada.cart(chess=1), coupon="TEN")

    assert answer.json()["code"] == "coupon-rejected"


async def test_a_coupon_is_used_up(ada, bob, goods):
    goods.coupon("ONE", percent=10, max_uses=1)
    await ada.buy(await ada.cart(chess=1), coupon="ONE")

    assert (await bob.buy(await bob.cart(chess=1), coupon="ONE")).status_code == 422


async def test_an_unknown_coupon_is_refused(ada):
    assert (await ada.buy(await ada.cart(chess=1), coupon="FREE")).status_code == 422


@pytest.mark.parametrize(
    "kind, constraint",
    [
        ({"percent": 10, "amount": 100}, "ck_coupons_one_kind"),
        ({}, "ck_coupons_one_kind"),
        ({"percent": 101}, "ck_coupons_percent_sensible"),
    ],
    ids=["both kinds", "no kind", "more than all"],
)
def test_the_database_refuses_senseless_coupons(goods, kind, constraint):
    with pytest.raises(psycopg.errors.CheckViolation, match=constraint):
        goods.coupon("ODD", **kind)


def test_the_database_refuses_codes_in_small_letters(goods):
    with pytest.raises(psycopg.errors.CheckViolation, match="ck_coupons_code_upper_case"):
        goods.coupon("ten", percent=10)
