"""Keeping stock for somebody, with asyncpg."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from shop.errors import NotFoundError, OutOfStockError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=15)


async def test_what_is_reserved_is_not_available(reservations, goods):
    goods.product("chess", stock=5)

    await reservations.reserve("chess", 2, LATER)

    assert await reservations.available("chess") == 3
    assert goods.on_hand("chess") == 5


async def test_no_more_can_be_reserved_than_there_is(reservations, goods):
    goods.product("chess", stock=5)
    await reservations.reserve("chess", 4, LATER)

    with pytest.raises(OutOfStockError):
        await reservations.reserve("chess", 2, LATER)


async def test_of_many_at_once_as_many_succeed_as_there_are_pieces(reservations, goods):
    goods.product("chess", stock=3)

    results = await asyncio.gather(
        *(reservations.reserve("chess", 1, LATER) for _ in range(8)), return_exceptions=True
    )

    assert sum(isinstance(result, OutOfStockError) for result in results) == 5
    assert await reservations.available("chess") == 0


async def test_a_released_reservation_is_available_again(reservations, goods):
    goods.product("chess", stock=1)
    reservation = await reservations.reserve("chess", 1, LATER)

    assert await reservations.release(reservation.id)

    assert await reservations.available("chess") == 1


async def test_releasing_twice_frees_once(reservations, goods):
    goods.product("chess", stock=5)
    kept = await reservations.reserve("chess", 2, LATER)
    released = await reservations.reserve("chess", 2, LATER)

    freed = [await reservations.release(released.id) for _ in range(2)]

    assert freed == [True, False]
    assert await reservations.available("chess") == 5 - kept.quantity


async def test_handing_over_takes_the_pieces_off_the_shelf(reservations, goods):
    goods.product("chess", stock=5)
    reservation = await reservations.reserve("chess", 2, LATER)

    await reservations.hand_over(reservation.id)

    assert (goods.on_hand("chess"), await reservations.available("chess")) == (3, 3)


async def test_pieces_are_handed_over_once(reservations, goods):
    goods.product("chess", stock=5)
    reservation = await reservations.reserve("chess", 2, LATER)

    results = await asyncio.gather(
        *(reservations.hand_over(reservation.id) for _ in range(3)), return_exceptions=True
    )

    assert sum(isinstance(result, NotFoundError) for result in results) == 2
    assert goods.on_hand("chess") == 3


async def test_an_unknown_product_cannot_be_reserved(reservations):
    with pytest.raises(NotFoundError, match="product in stock nothing"):
        await reservations.reserve("nothing", 1, LATER)


async def test_an_unknown_reservation_cannot_be_handed_over(reservations):
    with pytest.raises(NotFoundError):
        await reservations.hand_over(uuid.uuid4())


async def test_no_pieces_cannot_be_reserved(reservations, goods):
    goods.product("chess")

    with pytest.raises(asyncpg.CheckViolationError, match="quantity_positive"):
        await reservations.reserve("chess", 0, LATER)


async def test_only_what_is_over_expires(reservations, goods):
    goods.product("chess", stock=5)
    await reservations.reserve("chess", 1, NOON)
    await reservations.reserve("chess", 1, LATER)

    assert await reservations.expire(NOON) == 1
    assert await reservations.available("chess") == 4


async def test_expiry_takes_a_batch_at_a_time(reservations, goods):
    goods.product("chess", stock=5)
    for _ in range(5):
        await reservations.reserve("chess", 1, NOON)

    assert [await reservations.expire(NOON, batch=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_workers_share_what_has_expired(reservations, goods):
    for sku in ("chess", "go"):
        goods.product(sku, stock=10)
        for _ in range(5):
            await reservations.reserve(sku, 1, NOON)

    ended = await asyncio.gather(*(reservations.expire(NOON) for _ in range(3)))

    assert sum(ended) == 10
    assert [await reservations.available(sku) for sku in ("chess", "go")] == [10, 10]


async def test_expiry_passes_over_what_is_being_handed_over(reservations, goods, shop_db):
    goods.product("chess", stock=5)
    reservation = await reservations.reserve("chess", 1, NOON)
    async with await shop_db.aconnect() as desk:
        await desk.execute(
            "SELECT FROM stock_reservations WHERE id = %s FOR UPDATE", (reservation.id,)
        )
        assert await reservations.expire(NOON) == 0

    assert await reservations.expire(NOON) == 1


async def test_reservations_leave_with_their_product(reservations, goods, witness, ask):
    goods.product("chess", stock=5)
    await reservations.reserve("chess", 1, LATER)

    witness.execute("DELETE FROM products")

    assert ask("SELECT count(*) FROM stock_reservations") == 0
