"""Transactions that lose against another one, on purpose."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from threading import Barrier

import psycopg
import pytest
from psycopg import IsolationLevel
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from shop.errors import OutOfStockError
from shop.office import warehouse
from shop.retry import RetryPolicy, is_transient, retrying, retrying_async, sqlstate

AT_ONCE = RetryPolicy(attempts=3, first_delay=0, longest_delay=0)


@pytest.fixture
def collide(sessions, goods) -> Callable[[Callable], list[BaseException | None]]:
    """Return something that makes two threads lock the same two rows in opposite order.

    Both have their first row before either asks for its second, in their first attempt.
    """
    goods.product("chess", stock=10)
    goods.product("go", stock=10)
    barrier = Barrier(2)

    def swap(first: str, second: str, wait: Callable[[], object]) -> None:
        with sessions.begin() as session:
            warehouse.change_on_hand(session, first, -1)
            wait()
            warehouse.change_on_hand(session, second, 1)

    def run(guard: Callable) -> list[BaseException | None]:
        def one(first: str, second: str) -> None:
            waits = chain([lambda: barrier.wait(timeout=5)], repeat(lambda: None))
            guard(lambda: swap(first, second, next(waits)))

        with ThreadPoolExecutor(2) as threads:
            turns = [threads.submit(one, "chess", "go"), threads.submit(one, "go", "chess")]
        return [turn.exception() for turn in turns]

    return run


def test_without_a_second_try_a_deadlock_ends_one_of_two(collide, goods):
    errors = collide(lambda work: work())

    (lost,) = [error for error in errors if error is not None]
    assert sqlstate(lost) == "40P01"
    assert goods.on_hand("chess") + goods.on_hand("go") == 20


def test_with_a_second_try_both_of_two_succeed(collide, goods):
    assert collide(retrying) == [None, None]
    assert (goods.on_hand("chess"), goods.on_hand("go")) == (10, 10)


def test_of_two_who_change_one_row_the_later_cannot_be_serialized(goods, shop_db):
    goods.product("chess", stock=10)
    with shop_db.connect() as one, shop_db.connect() as other:
        for connection in (one, other):
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT on_hand FROM stock_levels")
        one.execute("UPDATE stock_levels SET on_hand = on_hand - 1")
        one.commit()

        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            other.execute("UPDATE stock_levels SET on_hand = on_hand - 1")

    assert is_transient(caught.value)


def test_write_skew_is_refused_to_serializable_transactions_only(goods, shop_db):
    goods.product("chess", stock=1)
    goods.product("go", stock=1)

    def last_of_all_may_go(level: IsolationLevel) -> int:
        """Take one of each as long as two are there: each looks before the other writes."""
        with shop_db.connect() as one, shop_db.connect() as other:
            for connection in (one, other):
                connection.isolation_level = level
                connection.execute("SELECT sum(on_hand) FROM stock_levels").fetchone()
            for connection, sku in ((one, "chess"), (other, "go")):
                connection.execute(
                    "UPDATE stock_levels SET on_hand = 0 FROM products"
                    " WHERE id = product_id AND sku = %s",
                    (sku,),
                )
            one.commit()
            other.commit()
        return goods.on_hand("chess") + goods.on_hand("go")

    assert last_of_all_may_go(IsolationLevel.REPEATABLE_READ) == 0
    with pytest.raises(psycopg.errors.SerializationFailure):
        last_of_all_may_go(IsolationLevel.SERIALIZABLE)


def losing(times: int, connection: psycopg.Connection) -> Callable[[], str]:
    """Return work that the server refuses so many times with a serialization failure."""
    attempts = iter(range(times))

    def work() -> str:
        if next(attempts, None) is not None:
            connection.execute(
                "DO $$ BEGIN RAISE 'lost' USING ERRCODE = 'serialization_failure'; END $$"
            )
        return "done"

    return work


def test_work_is_tried_again_until_it_succeeds(witness):
    assert retrying(losing(2, witness), AT_ONCE) == "done"


def test_the_last_attempt_tells_what_happened(witness):
    with pytest.raises(psycopg.errors.SerializationFailure, match="lost"):
        retrying(losing(3, witness), AT_ONCE)


async def test_awaited_work_is_tried_again_too(witness):
    work = losing(2, witness)

    async def awaited() -> str:
        return work()

    assert await retrying_async(awaited, AT_ONCE) == "done"


def test_a_mistake_is_not_tried_again(witness):
    attempts = []

    def work() -> None:
        attempts.append(1)
        witness.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        retrying(work, AT_ONCE)
    assert len(attempts) == 1


def test_the_shops_own_errors_are_not_transient():
    assert not is_transient(OutOfStockError("chess"))


def test_a_lost_connection_is_not_transient(engine):
    """Nobody knows whether a commit arrived, so nobody may simply do it again."""
    with engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert not is_transient(caught.value)


def test_the_pool_replaces_a_lost_connection(engine):
    with engine.connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.parametrize("failures", [0, 3, 50])
def test_delays_grow_up_to_a_limit(failures):
    policy = RetryPolicy(first_delay=0.01, longest_delay=0.05)

    assert 0 <= policy.delay(failures) <= min(0.01 * 2**failures, 0.05)
