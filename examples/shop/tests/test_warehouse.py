"""Stock as the people in the warehouse book it: threads, each with a session of its own."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy.exc import IntegrityError

from shop.errors import NotFoundError, OutOfStockError
from shop.office import warehouse


def test_a_delivery_is_on_the_shelf(sessions, goods):
    goods.product("chess", stock=1)
    goods.product("go", stock=0)

    with sessions.begin() as session:
        warehouse.receive(session, {"go": 5, "chess": 2})

    assert (goods.on_hand("chess"), goods.on_hand("go")) == (3, 5)


def test_a_delivery_with_something_unknown_is_not_booked_at_all(sessions, goods):
    goods.product("chess", stock=1)

    with pytest.raises(NotFoundError), sessions.begin() as session:
        warehouse.receive(session, {"chess": 2, "nothing": 1})

    assert goods.on_hand("chess") == 1


def test_losses_leave_the_shelf(sessions, goods):
    goods.product("chess", stock=5)

    with sessions.begin() as session:
        warehouse.write_off(session, "chess", 2)

    assert goods.on_hand("chess") == 3


def test_no_more_is_lost_than_there_was(sessions, goods):
    goods.product("chess", stock=1)

    with pytest.raises(OutOfStockError), sessions.begin() as session:
        warehouse.write_off(session, "chess", 2)

    assert goods.on_hand("chess") == 1


def test_an_unfinished_count_is_seen_by_nobody_else(sessions, goods):
    goods.product("chess", stock=1)

    with sessions() as session:
        warehouse.receive(session, {"chess": 9})
        assert warehouse.count(session, "chess") == 10
        assert goods.on_hand("chess") == 1


def test_threads_that_receive_at_once_lose_no_piece(sessions, goods):
    goods.product("chess", stock=0)
    start = Barrier(4)

    def receive_five() -> None:
        start.wait(timeout=5)
        for _ in range(5):
            with sessions.begin() as session:
                warehouse.receive(session, {"chess": 1})

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(receive_five) for _ in range(4)]:
            done.result()

    assert goods.on_hand("chess") == 20


def test_threads_that_compete_for_the_last_pieces_get_each_once(sessions, goods):
    goods.product("chess", stock=3)
    start = Barrier(5)

    def take_one() -> bool:
        start.wait(timeout=5)
        try:
            with sessions.begin() as session:
                warehouse.write_off(session, "chess", 1)
        except OutOfStockError:
            return False
        return True

    with ThreadPoolExecutor(5) as threads:
        taken = [threads.submit(take_one) for _ in range(5)]

    assert sum(done.result() for done in taken) == 3
    assert goods.on_hand("chess") == 0


def test_repacking_moves_pieces(sessions, goods):
    goods.product("single", stock=6)
    goods.product("bundle", stock=0)

    warehouse.repack(sessions, "single", "bundle", 6)

    assert (goods.on_hand("single"), goods.on_hand("bundle")) == (0, 6)


def test_repacking_too_many_moves_none(sessions, goods):
    goods.product("single", stock=1)
    goods.product("bundle", stock=0)

    with pytest.raises(OutOfStockError):
        warehouse.repack(sessions, "single", "bundle", 2)

    assert (goods.on_hand("single"), goods.on_hand("bundle")) == (1, 0)


def test_no_stock_level_without_its_product(witness, goods):
    goods.product("chess")

    witness.execute("DELETE FROM products WHERE sku = 'chess'")

    assert witness.execute("SELECT count(*) FROM stock_levels").fetchone() == (0,)


def test_the_shelf_cannot_hold_less_than_what_is_promised(sessions, goods, witness):
    product = goods.product("chess", stock=3)
    witness.execute(
        "INSERT INTO stock_reservations (product_id, quantity, expires_at) VALUES (%s, 2, now())",
        (product,),
    )

    with (
        pytest.raises(IntegrityError, match="ck_stock_levels_enough_on_hand"),
        sessions.begin() as session,
    ):
        warehouse.change_on_hand(session, "chess", -2)
