"""The figures of the morning."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import sessionmaker

from shop.office import reports
from shop.office.reports import Bestseller


class Desk:
    """Reads every report in a session of its own."""

    def __init__(self, sessions: sessionmaker) -> None:
        self.sessions = sessions

    def __call__(self, report, *arguments):
        with self.sessions() as session:
            return report(session, *arguments)

    def refresh(self) -> None:
        with self.sessions.begin() as session:
            reports.refresh_daily_sales(session)


@pytest.fixture
def desk(sessions) -> Desk:
    return Desk(sessions)


def test_without_sales_every_report_is_empty(desk):
    assert desk(reports.daily_sales) == []
    assert desk(reports.bestsellers) == []
    assert desk(reports.revenue_by_top_category) == {}
    assert desk(reports.refund_rate) == 0.0


async def test_daily_sales_are_those_of_the_last_refresh(ada, goods, desk):
    goods.product("chess", price=6000)
    await ada.order(chess=1)
    assert desk(reports.daily_sales) == []

    desk.refresh()

    (day,) = desk(reports.daily_sales)
    assert (day.country, day.orders, day.total_cents) == ("DE", 1, 6000)


async def test_daily_sales_are_by_country_and_day(ada, bob, goods, desk, witness):
    goods.product("chess", price=6000, stock=10)
    for shopper in (ada, bob, bob):
        await shopper.order(chess=1)
    witness.execute(
        "UPDATE orders SET placed_at = %s WHERE country_code = 'FR'",
        (datetime(2026, 1, 1, 23, 59, tzinfo=UTC),),
    )
    desk.refresh()

    first, second = desk(reports.daily_sales)

    assert (first.day.isoformat(), first.country, first.orders) == ("2026-01-01", "FR", 2)
    assert (second.country, second.orders) == ("DE", 1)


async def test_cancelled_orders_are_no_sales(ada, goods, desk):
    goods.product("chess")
    await ada.cancel(await ada.order(chess=1))
    desk.refresh()

    assert desk(reports.daily_sales) == []
    assert desk(reports.bestsellers) == []


async def test_products_that_sold_the_same_share_a_rank(ada, goods, desk):
    for sku in ("chess", "go", "halma"):
        goods.product(sku, stock=10)
    await ada.order(chess=1, go=3, halma=1)

    assert desk(reports.bestsellers) == [
        Bestseller(1, "go", 3),
        Bestseller(2, "chess", 1),
        Bestseller(2, "halma", 1),
    ]


async def test_revenue_counts_for_the_top_category(ada, goods, desk):
    goods.product("poirot", price=1000, category="crime")
    goods.product("atlas", price=5000, category="non-fiction")
    goods.product("chess", price=3000, category="board-games")
    await ada.order(poirot=2, atlas=1, chess=1)

    assert desk(reports.revenue_by_top_category) == {"books": 7000, "games": 3000}


async def test_open_balances_are_what_is_placed_and_not_paid(ada, bob, goods, desk):
    goods.product("chess", price=6000, stock=10)
    await ada.order(chess=1)
    await ada.order(chess=2)
    await bob.pay(await bob.order(chess=1))

    assert desk(reports.open_balances) == {"ada@example.com": 18_000}


def test_running_low_counts_reserved_pieces_as_gone(goods, desk, witness):
    goods.product("plenty", stock=10)
    goods.product("few", stock=2)
    promised = goods.product("promised", stock=10)
    goods.product("withdrawn", stock=0, active=False)
    witness.execute(
        "INSERT INTO stock_reservations (product_id, quantity, expires_at) VALUES (%s, 9, now())",
        (promised,),
    )

    assert desk(reports.running_low, 3) == ["few", "promised"]


async def test_the_refund_rate_is_a_share_of_what_was_paid(ada, goods, desk):
    goods.product("chess", price=6000, stock=10)
    orders = [await ada.order(chess=1) for _ in range(4)]
    for order in orders:
        await ada.pay(order)
    await ada.refund(orders[0], 6000)

    assert desk(reports.refund_rate) == 0.25


async def test_a_refresh_does_not_keep_readers_waiting(ada, goods, desk):
    goods.product("chess", price=6000)
    await ada.order(chess=1)

    with desk.sessions() as session:
        reports.refresh_daily_sales(session)
        assert desk(reports.daily_sales) == []
        session.commit()

    assert len(desk(reports.daily_sales)) == 1
