"""Everything the shop did, told again from its events."""

from shop.feed import EventFeed
from shop.models import OrderStatus
from shop.projections import Sales


async def told(feed: EventFeed) -> Sales:
    sales = Sales()
    async for event in feed.replay():
        sales.apply(event)
    return sales


async def test_a_purchase_tells_what_was_bought(ada, goods, feed):
    goods.product("chess", price=3000)
    order = await ada.order(chess=2)

    (event,) = await feed.read_stream(f"order/{order['number']}")

    assert event.data == {
        "customer": ada.customer_id,
        "total_cents": 6000,
        "lines": [{"sku": "chess", "quantity": 2}],
    }


async def test_the_life_of_an_order_is_in_its_stream(ada, goods, feed):
    goods.product("chess", price=6000)
    order = await ada.order(chess=1)
    await ada.pay(order)
    await ada.refund(order, 1000)
    await ada.refund(order, 5000)

    events = await feed.read_stream(f"order/{order['number']}")

    kinds = ["OrderPlaced", "OrderPaid", "OrderRefunded", "OrderRefunded"]
    assert [event.type for event in events] == kinds


async def test_the_replay_agrees_with_the_tables(ada, bob, goods, feed, witness):
    goods.product("chess", price=6000, stock=100)
    await ada.order(chess=1)
    await ada.pay(await ada.order(chess=2))
    await bob.cancel(await bob.order(chess=1))
    refunded = await bob.order(chess=3)
    await bob.pay(refunded)
    await bob.refund(refunded, refunded["total_cents"])

    sales = await told(feed)

    assert sales.status == dict(witness.execute("SELECT number, status FROM orders"))
    (paid,) = witness.execute("SELECT sum(amount_cents) FROM payments").fetchone()
    assert (sales.paid_cents, sales.refunded_cents) == (paid, refunded["total_cents"])
    assert sales.sold == {"chess": 7}


async def test_a_failed_purchase_is_not_told(ada, goods, feed):
    goods.product("chess", stock=0)
    await ada.buy(await ada.cart(chess=1))

    assert await feed.read() == []


async def test_a_partly_refunded_order_stays_paid_in_the_replay(ada, goods, feed):
    goods.product("chess", price=6000)
    order = await ada.order(chess=1)
    await ada.pay(order)
    await ada.refund(order, 100)

    assert (await told(feed)).status == {order["number"]: OrderStatus.PAID}


async def test_the_feed_is_served_to_other_programs(ada, goods, http):
    goods.product("chess", price=6000)
    await ada.pay(await ada.order(chess=1))

    first = (await http.get("/events", params={"limit": 1})).json()
    rest = (await http.get("/events", params={"after": first[0]["position"]})).json()

    assert [event["type"] for event in first + rest] == ["OrderPlaced", "OrderPaid"]
