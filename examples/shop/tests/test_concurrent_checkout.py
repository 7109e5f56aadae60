"""Many customers at once: each on a connection of the application's pool, all committing."""

import asyncio


def codes(answers) -> list[int]:
    return sorted(answer.status_code for answer in answers)


async def test_of_many_customers_one_gets_the_last_piece(ada, bob, goods):
    goods.product("chess", stock=1)
    carts = [(who, await who.cart(chess=1)) for who in (ada, bob, ada, bob)]

    answers = await asyncio.gather(*(who.buy(cart) for who, cart in carts))

    assert codes(answers) == [201, 409, 409, 409]
    assert goods.on_hand("chess") == 0


async def test_stock_for_three_serves_exactly_three(ada, goods, ask):
    goods.product("chess", stock=3)
    carts = [await ada.cart(chess=1) for _ in range(5)]

    answers = await asyncio.gather(*(ada.buy(cart) for cart in carts))

    assert codes(answers) == [201, 201, 201, 409, 409]
    assert ask("SELECT count(*) FROM orders") == 3


async def test_every_order_at_once_gets_a_number_of_its_own(ada, bob, goods, ask):
    goods.product("chess", stock=50)
    carts = [(who, await who.cart(chess=1)) for who in (ada, bob, ada, bob)]

    orders = await asyncio.gather(*(who.buy(cart) for who, cart in carts))

    assert len({order.json()["number"] for order in orders}) == 4
    assert ask("SELECT count(DISTINCT number) FROM orders") == 4


async def test_two_purchases_at_once_cannot_pass_the_credit_limit_together(ada, goods, ask):
    """Each fits alone: only a serializable transaction sees that both do not."""
    goods.customer("eve@example.com", credit=10_000)
    ada.customer_id = ask("SELECT id FROM customers WHERE email = 'eve@example.com'")
    goods.product("chess", price=6000)
    goods.product("go", price=6000)
    carts = [await ada.cart(chess=1), await ada.cart(go=1)]

    answers = await asyncio.gather(*(ada.buy(cart) for cart in carts))

    assert codes(answers) == [201, 402]
    assert ask("SELECT sum(total_cents) FROM orders WHERE status = 'placed'") == 6000


async def test_carts_filled_in_opposite_order_do_not_deadlock(ada, bob, goods, ask):
    goods.product("chess")
    goods.product("go")
    mine, his = await ada.cart(chess=1, go=1), await bob.cart(go=1, chess=1)
    # The server counts on from test to test.
    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = ask(counted)

    answers = await asyncio.gather(ada.buy(mine), bob.buy(his))

    assert codes(answers) == [201, 201]
    assert ask(counted) == before


async def test_one_cart_is_bought_once_however_often_the_button_is_pressed(ada, goods, ask):
    goods.product("chess", stock=10)
    cart = await ada.cart(chess=1)

    answers = await asyncio.gather(*(ada.buy(cart) for _ in range(3)))

    assert codes(answers) == [201, 404, 404]
    assert goods.on_hand("chess") == 9


async def test_the_last_use_of_a_coupon_goes_to_one_customer(ada, bob, goods, ask):
    goods.product("chess")
    goods.coupon("ONLYONE", percent=50, max_uses=1)
    mine, his = await ada.cart(chess=1), await bob.cart(chess=1)

    answers = await asyncio.gather(ada.buy(mine, coupon="ONLYONE"), bob.buy(his, coupon="ONLYONE"))

    assert codes(answers) == [201, 422]
    assert ask("SELECT used FROM coupons") == 1


async def test_a_delivery_sells_nothing_before_it_is_committed(ada, goods, shop_db):
    goods.product("chess", stock=0)
    cart = await ada.cart(chess=1)
    async with await shop_db.aconnect() as delivery:
        await delivery.execute("UPDATE stock_levels SET on_hand = 5")
        too_early = await ada.buy(cart)
        await delivery.commit()

    assert too_early.status_code == 409
    assert (await ada.buy(cart)).status_code == 201


async def test_a_purchase_waits_for_the_end_of_another_transaction(
    ada, goods, shop_db, somebody_waits
):
    goods.product("chess", stock=1)
    cart = await ada.cart(chess=1)
    async with await shop_db.aconnect() as loss:
        await loss.execute("UPDATE stock_levels SET on_hand = 0")
        purchase = asyncio.create_task(ada.buy(cart))
        await somebody_waits()
        await loss.rollback()

    assert (await purchase).status_code == 201


async def test_stock_never_goes_below_zero_whoever_writes(ada, goods, witness, ask):
    goods.product("chess", stock=4)
    carts = [await ada.cart(chess=1) for _ in range(3)]

    def lose_one() -> None:
        witness.execute("UPDATE stock_levels SET on_hand = on_hand - 1 WHERE on_hand > 0")

    await asyncio.gather(
        *(ada.buy(cart) for cart in carts), *(asyncio.to_thread(lose_one) for _ in range(3))
    )

    assert ask("SELECT min(on_hand) FROM stock_levels") == 0
    assert ask("SELECT count(*) FROM orders") <= 3
