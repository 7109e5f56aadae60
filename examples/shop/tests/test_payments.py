"""Money in, money back."""

import asyncio

import psycopg
import pytest


@pytest.fixture
async def order(ada, goods) -> dict:
    goods.product("chess", price=6000, stock=10)
    return await ada.order(chess=2)


async def test_a_paid_order_is_paid(ada, order, ask):
    paid = await ada.pay(order)

    assert paid.json()["status"] == "paid"
    assert ask("SELECT sum(amount_cents) FROM payments") == 12_000


async def test_an_order_is_paid_once(ada, order):
    await ada.pay(order)

    again = await ada.pay(order, reference="another transfer")

    assert again.json()["code"] == "wrong-order-status"


async def test_of_two_payments_at_once_one_is_booked(ada, order, ask):
    answers = await asyncio.gather(ada.pay(order, "one"), ada.pay(order, "two"))

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert ask("SELECT count(*) FROM payments") == 1


async def test_a_receipt_pays_one_order(ada, order, ask):
    other = await ada.order(chess=1)
    await ada.pay(order, reference="transfer 1")

    again = await ada.pay(other, reference="transfer 1")

    assert again.status_code == 409
    assert ask("SELECT status FROM orders WHERE number = %s", other["number"]) == "placed"


async def test_the_same_receipt_for_the_same_amount_is_a_duplicate(ada, goods):
    goods.product("go", price=6000)
    first, second = await ada.order(go=1), await ada.order(go=1)
    await ada.pay(first, reference="transfer 1")

    assert (await ada.pay(second, reference="transfer 1")).json()["code"] == "duplicate-payment"


async def test_part_of_the_money_pays_nothing(ada, order):
    answer = await ada.pay(order | {"total_cents": 100})

    assert answer.json()["code"] == "wrong-order-status"


async def test_a_cancelled_order_puts_its_goods_back(ada, order, goods):
    assert goods.on_hand("chess") == 8

    await ada.cancel(order)

    assert goods.on_hand("chess") == 10


async def test_a_paid_order_cannot_be_cancelled(ada, order, goods):
    await ada.pay(order)

    assert (await ada.cancel(order)).status_code == 409
    assert goods.on_hand("chess") == 8


async def test_an_order_is_cancelled_once_and_its_goods_return_once(ada, order, goods):
    answers = await asyncio.gather(*(ada.cancel(order) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert goods.on_hand("chess") == 10


async def test_paying_and_cancelling_at_once_ends_one_way(ada, order, goods, ask):
    answers = await asyncio.gather(ada.pay(order), ada.cancel(order))

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    ending = (ask("SELECT status FROM orders"), goods.on_hand("chess"))
    assert ending in {("paid", 8), ("cancelled", 10)}


async def test_a_part_can_be_refunded_and_the_order_stays_paid(ada, order, goods):
    await ada.pay(order)

    answer = await ada.refund(order, 2000)

    assert answer.json()["status"] == "paid"
    assert goods.on_hand("chess") == 8


async def test_refunds_that_add_up_to_everything_return_the_goods(ada, order, goods):
    await ada.pay(order)
    await ada.refund(order, 2000)

    answer = await ada.refund(order, 10_000)

    assert answer.json()["status"] == "refunded"
    assert goods.on_hand("chess") == 10


async def test_no_more_is_refunded_than_was_paid(ada, order, ask):
    await ada.pay(order)
    await ada.refund(order, 2000)

    answer = await ada.refund(order, 10_001)

    assert answer.json()["code"] == "refund-too-high"
    assert ask("SELECT sum(amount_cents) FROM refunds") == 2000


async def test_refunds_at_once_do_not_pass_the_payment_together(ada, order, ask):
    await ada.pay(order)

    answers = await asyncio.gather(*(ada.refund(order, 5000) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 201, 422, 422]
    assert ask("SELECT sum(amount_cents) FROM refunds") == 10_000


async def test_an_unpaid_order_has_nothing_to_refund(ada, order):
    assert (await ada.refund(order, 100)).status_code == 409


async def test_the_limit_on_refunds_is_judged_when_the_transaction_commits(ada, order, shop_db):
    """A correction may be too high for a moment, as long as it adds up in the end."""
    await ada.pay(order)
    refund = (
        "INSERT INTO refunds (order_id, amount_cents, reason) SELECT id, %s, 'by hand' FROM orders"
    )
    with shop_db.connect() as office:
        office.execute(refund, (20_000,))
        office.execute("UPDATE refunds SET amount_cents = 12000")
        office.commit()
        office.execute(refund, (1,))
        with pytest.raises(psycopg.errors.CheckViolation, match="exceed payments"):
            office.commit()
