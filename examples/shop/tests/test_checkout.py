"""From a cart to an order."""

import pytest


async def test_an_order_adds_up(ada, goods):
    goods.product("chess", price=1500)
    goods.product("go", price=1000)

    order = await ada.order(chess=2, go=1)

    assert order == {
        "number": "S-2000001",
        "status": "placed",
        "subtotal_cents": 4000,
        "discount_cents": 0,
        "shipping_cents": 490,
        "vat_cents": 717,
        "total_cents": 4490,
    }


async def test_numbers_go_up_one_by_one(ada, goods):
    goods.product("chess")

    numbers = [(await ada.order(chess=1))["number"] for _ in range(3)]

    assert numbers == ["S-2000001", "S-2000002", "S-2000003"]


async def test_vat_is_that_of_the_customers_country(ada, bob, goods):
    goods.product("chess", price=10_000)

    german, french = await ada.order(chess=1), await bob.order(chess=1)

    assert (german["vat_cents"], french["vat_cents"]) == (1597, 1667)


async def test_what_is_bought_leaves_the_shelf(ada, goods):
    goods.product("chess", stock=5)

    await ada.order(chess=2)

    assert goods.on_hand("chess") == 3


async def test_the_last_piece_can_be_bought(ada, goods):
    goods.product("chess", stock=1)

    await ada.order(chess=1)

    assert goods.on_hand("chess") == 0


async def test_a_bought_cart_is_gone(ada, goods, http):
    goods.product("chess")
    cart = await ada.cart(chess=1)
    await ada.buy(cart)

    assert (await http.get(f"/carts/{cart}")).status_code == 404
    assert (await ada.buy(cart)).status_code == 404


async def test_an_empty_cart_cannot_be_bought(ada):
    answer = await ada.buy(await ada.cart())

    assert answer.json()["code"] == "empty-cart"


async def test_more_than_there_is_cannot_be_bought(ada, goods):
    goods.product("chess", stock=1)

    answer = await ada.buy(await ada.cart(chess=2))

    assert (answer.status_code, answer.json()["code"]) == (409, "out-of-stock")


async def test_a_failed_purchase_changes_nothing(ada, goods, ask, http):
    goods.product("chess", stock=5)
    goods.product("go", stock=0)
    cart = await ada.cart(chess=1, go=1)

    await ada.buy(cart)

    assert goods.on_hand("chess") == 5
    assert ask("SELECT count(*) FROM orders") == 0
    assert ask("SELECT count(*) FROM events") == 0
    assert len((await http.get(f"/carts/{cart}")).json()["lines"]) == 2


async def test_a_failed_purchase_may_leave_a_hole_in_the_numbers_but_no_order(ada, goods, ask):
    goods.product("chess")
    await ada.order(chess=1)
    await ada.buy(await ada.cart(chess=1), coupon="UNKNOWN")

    await ada.order(chess=1)

    assert ask("SELECT count(*) FROM orders") == 2


async def test_reserved_pieces_are_not_for_sale(ada, goods, witness):
    product = goods.product("chess", stock=3)
    witness.execute(
        "INSERT INTO stock_reservations (product_id, quantity, expires_at)"
        " VALUES (%s, 2, now() + interval '1 hour')",
        (product,),
    )

    assert (await ada.buy(await ada.cart(chess=2))).status_code == 409
    assert (await ada.buy(await ada.cart(chess=1))).status_code == 201


async def test_an_order_keeps_its_prices(ada, goods, http, witness):
    goods.product("chess", price=1500)
    order = await ada.order(chess=2)
    witness.execute("UPDATE products SET price_cents = 9900")

    details = (await http.get(f"/orders/{order['number']}")).json()

    assert details["lines"] == [{"position": 1, "quantity": 2, "unit_price_cents": 1500}]


@pytest.mark.parametrize(
    "method, price, shipping",
    [("pickup", 1000, 0), ("express", 9000, 1290), ("parcel", 9000, 0)],
    ids=["collected", "a courier is never free", "a parcel is free from 50 euros on"],
)
async def test_shipping_costs_what_the_method_says(ada, goods, method, price, shipping):
    goods.product("chess", price=price)

    order = await ada.buy(await ada.cart(chess=1), shipping=method)

    assert order.json()["shipping_cents"] == shipping


async def test_an_unknown_way_of_shipping_is_refused(ada, goods):
    goods.product("chess")

    assert (await ada.buy(await ada.cart(chess=1), shipping="balloon")).status_code == 404


async def test_unpaid_orders_count_against_the_credit_limit(ada, goods, witness):
    goods.product("chess", price=6000)
    witness.execute("UPDATE customers SET credit_limit_cents = 10000")
    first = await ada.order(chess=1)

    refused = await ada.buy(await ada.cart(chess=1))
    await ada.pay(first)
    accepted = await ada.buy(await ada.cart(chess=1))

    assert (refused.status_code, accepted.status_code) == (402, 201)


async def test_a_customer_sees_her_orders_newest_first_and_nobody_elses(ada, bob, goods, http):
    goods.product("chess")
    mine = [(await ada.order(chess=1))["number"] for _ in range(2)]
    await bob.order(chess=1)

    orders = (await http.get(f"/customers/{ada.customer_id}/orders")).json()

    assert [order["number"] for order in orders] == mine[::-1]


async def test_an_unknown_order_is_a_404(http):
    assert (await http.get("/orders/S-1")).status_code == 404
