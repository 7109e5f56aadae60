"""Carts."""

import asyncio
import uuid


async def lines(http, cart_id: str) -> dict[str, int]:
    cart = (await http.get(f"/carts/{cart_id}")).json()
    return {line["sku"]: line["quantity"] for line in cart["lines"]}


async def test_a_cart_keeps_what_is_put_into_it(ada, goods, http):
    goods.product("chess")
    goods.product("go")

    cart = await ada.cart(chess=1, go=2)

    assert await lines(http, cart) == {"chess": 1, "go": 2}


async def test_putting_again_replaces_the_quantity(ada, goods, http):
    goods.product("chess")
    cart = await ada.cart(chess=1)

    await ada.put(cart, "chess", 5)

    assert await lines(http, cart) == {"chess": 5}


async def test_what_is_taken_out_is_gone(ada, goods, http):
    goods.product("chess")
    goods.product("go")
    cart = await ada.cart(chess=1, go=2)

    await http.delete(f"/carts/{cart}/lines/chess")

    assert await lines(http, cart) == {"go": 2}


async def test_taking_out_what_is_not_there_changes_nothing(ada, goods, http):
    goods.product("chess")
    cart = await ada.cart(chess=1)

    answer = await http.delete(f"/carts/{cart}/lines/go")

    assert answer.status_code == 200
    assert await lines(http, cart) == {"chess": 1}


async def test_a_cart_shows_its_value_at_todays_price(ada, goods, http, witness):
    goods.product("chess", price=4900)
    cart = await ada.cart(chess=2)
    witness.execute("UPDATE products SET price_cents = 5000")

    assert (await http.get(f"/carts/{cart}")).json()["value_cents"] == 10_000


async def test_a_withdrawn_product_cannot_be_put_into_a_cart(ada, goods):
    goods.product("old", active=False)

    assert (await ada.put(await ada.cart(), "old", 1)).status_code == 404


async def test_a_hundred_of_one_thing_are_too_many(ada, goods):
    goods.product("chess")
    cart = await ada.cart()

    assert (await ada.put(cart, "chess", 99)).status_code == 200
    assert (await ada.put(cart, "chess", 100)).status_code == 422


async def test_none_of_it_is_said_by_taking_it_out(ada, goods):
    goods.product("chess")

    assert (await ada.put(await ada.cart(), "chess", 0)).status_code == 422


async def test_an_unknown_cart_is_a_404(http):
    assert (await http.get(f"/carts/{uuid.uuid4()}")).status_code == 404


async def test_nobody_gets_no_cart(http):
    assert (await http.post("/carts", json={"customer_id": 4711})).status_code == 404


async def test_a_deleted_product_leaves_every_cart(ada, bob, goods, witness, ask):
    goods.product("chess")
    goods.product("go")
    await ada.cart(chess=1, go=1)
    await bob.cart(chess=3)

    witness.execute("DELETE FROM products WHERE sku = 'chess'")

    assert ask("SELECT count(*) FROM cart_lines") == 1


async def test_two_tabs_writing_the_same_line_leave_one_of_both_quantities(ada, goods, http):
    goods.product("chess")
    cart = await ada.cart()

    answers = await asyncio.gather(ada.put(cart, "chess", 2), ada.put(cart, "chess", 3))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (await lines(http, cart))["chess"] in {2, 3}
