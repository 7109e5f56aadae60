"""The same purchase sent twice is one purchase."""

import asyncio

import pytest


@pytest.fixture
def _chess(goods) -> None:
    goods.product("chess", stock=10)
    goods.product("go", stock=0)


pytestmark = pytest.mark.usefixtures("_chess")


async def test_the_second_answer_is_the_first_one(ada, ask):
    cart = await ada.cart(chess=1)

    first, second = [await ada.buy(cart, key="k") for _ in range(2)]

    assert second.json() == first.json()
    assert ask("SELECT count(*) FROM orders") == 1


async def test_two_at_once_with_one_key_buy_once(ada, goods):
    cart = await ada.cart(chess=1)

    answers = await asyncio.gather(*(ada.buy(cart, key="k") for _ in range(3)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["number"] for answer in answers}) == 1
    assert goods.on_hand("chess") == 9


async def test_a_key_belongs_to_one_request(ada):
    cart = await ada.cart(chess=1)
    await ada.buy(cart, key="k")

    other = await ada.buy(cart, key="k", shipping="express")

    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_another_key_is_another_purchase(ada, ask):
    await ada.buy(await ada.cart(chess=1), key="k1")
    await ada.buy(await ada.cart(chess=1), key="k2")

    assert ask("SELECT count(*) FROM orders") == 2


async def test_a_failed_purchase_leaves_its_key_free(ada, witness):
    cart = await ada.cart(go=1)
    assert (await ada.buy(cart, key="k")).status_code == 409

    witness.execute("UPDATE stock_levels SET on_hand = 1")

    assert (await ada.buy(cart, key="k")).status_code == 201


async def test_a_purchase_needs_a_key(ada, http):
    cart = await ada.cart(chess=1)

    assert (await http.post(f"/carts/{cart}/orders", json={})).status_code == 422


async def test_the_answer_stays_what_it_was_when_the_order_moves_on(ada):
    cart = await ada.cart(chess=1)
    order = (await ada.buy(cart, key="k")).json()
    await ada.pay(order)

    assert (await ada.buy(cart, key="k")).json()["status"] == "placed"
