"""Who may use the connection of a test, and in which order."""

import asyncio
import contextvars
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from freshpg.core.errors import ConnectionNotAllowed, LeaseClosed, TurnTimedOut, UsageInvalid
from freshpg.isolation.ownership import Ownership
from freshpg.isolation.turns import Turns

INHERITS = sys.version_info >= (3, 14) and getattr(sys.flags, "thread_inherit_context", 0)


@pytest.fixture
def ownership():
    made = Ownership("database shop_test", "tests/test_x.py::test_y")
    made.hand_out()
    yield made
    made.end()


def in_thread(work, **options):
    """Run something in a plain thread; return its result or error."""
    results = []

    def run():
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 (the test judges it)
            results.append(error)

    thread = threading.Thread(target=run, **options)
    return thread, results


def ran(work, **options):
    thread, results = in_thread(work, **options)
    thread.start()
    thread.join(10)
    return results[0]


def test_the_test_itself_may(ownership):
    ownership.require()


@pytest.mark.skipif(INHERITS, reason="threads inherit the context here")
def test_a_thread_that_inherits_nothing_may_not_and_is_told_four_ways_out(ownership):
    error = ran(ownership.require, name="stranger")
    assert isinstance(error, ConnectionNotAllowed)
    assert "thread stranger" in str(error)
    assert "tests/test_x.py::test_y" in str(error)
    assert str(error).count(__file__) == 2
    assert len(error.todo) == 4
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_task_and_a_thread_of_asyncio_inherit(ownership):
    async def main():
        await asyncio.create_task(inside())
        await asyncio.to_thread(ownership.require)

    async def inside():
        ownership.require()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, asyncio.run, main()).result()


def test_a_thread_is_allowed_before_it_starts_and_while_it_runs(ownership):
    thread, results = in_thread(ownership.require)
    assert ownership.allow(thread) is thread
    thread.start()
    thread.join(10)
    assert results == [None]


@pytest.mark.parametrize("mode", ["automatic", "manual"])
def test_an_allowed_function_hands_the_right_to_whoever_calls_it(ownership, mode):
    ownership.mode = mode
    allowed = ownership.allow(ownership.require)
    assert ran(allowed) is None
    assert ran(allowed) is None


def test_manual_takes_the_right_of_inheriting_away_but_not_what_was_allowed(ownership):
    ownership.mode = "manual"

    async def main(work):
        return await asyncio.to_thread(work)

    with pytest.raises(ConnectionNotAllowed, match="'manual'"):
        asyncio.run(main(ownership.require))
    asyncio.run(main(ownership.allow(ownership.require)))


def test_a_task_is_allowed_in_manual_mode(ownership):
    ownership.mode = "manual"

    async def ask():
        ownership.require()

    async def main():
        task = ownership.allow(asyncio.create_task(ask()))
        await task

    assert ran(lambda: asyncio.run(main())) is None


def test_shared_is_for_everybody(ownership):
    ownership.mode = "shared"
    assert ran(ownership.require) is None


@pytest.mark.parametrize("whom", [4711, "thread", None])
def test_nonsense_is_not_allowed(ownership, whom):
    with pytest.raises(UsageInvalid, match=r"threading\.Thread"):
        ownership.allow(whom)


@pytest.mark.parametrize("mode", ["automatic", "shared"])
def test_after_the_end_nobody_may_and_both_places_are_named(ownership, mode):
    ownership.mode = mode
    ownership.end()
    error = ran(ownership.require, name="late")
    assert isinstance(error, LeaseClosed)
    assert str(error).count(__file__) == 2
    assert "thread late" in str(error)
    with pytest.raises(LeaseClosed):
        ownership.require()


def test_the_next_test_does_not_inherit_from_the_one_before():
    first = Ownership("database", "first")
    first.hand_out()
    first.end()
    second = Ownership("database", "second")
    second.hand_out()
    context = contextvars.copy_context()
    second.end()
    third = Ownership("database", "third")
    assert isinstance(ran(lambda: context.run(third.require)), ConnectionNotAllowed)


def test_turns_are_given_in_the_order_of_asking():
    turns = Turns("it")
    order = []
    queued = []
    turns.take(1)
    for number in range(5):

        def work(number=number):
            turns.take(2)
            order.append(number)
            turns.give()

        thread, _ = in_thread(work)
        thread.start()
        queued.append(thread)
        while len(turns._queue) <= number:
            thread.join(0.001)
    turns.give()
    for thread in queued:
        thread.join(10)
    assert order == list(range(5))


def test_who_waits_too_long_sees_both_stacks():
    turns = Turns("database shop_test", seconds=0.05)
    holds, ends = threading.Event(), threading.Event()

    def holding_work():
        turns.take(1)
        holds.set()
        ends.wait(10)
        turns.give()

    thread, _ = in_thread(holding_work, name="holder")
    thread.start()
    holds.wait(10)

    def waiting_work():
        turns.take(2)

    try:
        with pytest.raises(TurnTimedOut) as told:
            waiting_work()
    finally:
        ends.set()
        thread.join(10)
    assert "in holding_work" in told.value.holder_stack
    assert "in waiting_work" in told.value.waiter_stack
    assert "thread holder runs a statement" in str(told.value)
    turns.take(2)
    turns.give()


def test_waiting_for_oneself_is_said_at_once():
    turns = Turns("it", seconds=3600)
    turns.take(1)
    with pytest.raises(TurnTimedOut, match="same stack"):
        turns.take(1)


def test_a_block_keeps_others_out_until_it_ends_but_not_who_was_started_inside():
    turns = Turns("it", seconds=0.05)
    turns.take(1)
    turns.enter_block(1)
    turns.give()
    inside = contextvars.copy_context()

    def use(member):
        turns.take(member)
        turns.give()

    assert isinstance(ran(lambda: use(2)), TurnTimedOut)
    assert "has a transaction open" in str(ran(lambda: use(2)))
    assert ran(lambda: inside.run(use, 2)) is None
    assert ran(lambda: use(1)) is None
    turns.free_block()
    assert ran(lambda: use(2)) is None


def test_a_block_that_nobody_can_go_on_with_keeps_nobody_out():
    turns = Turns("it", seconds=3600)

    async def open_one(member):
        await turns.atake(member)
        turns.enter_block(member)
        turns.give()

    def use(member):
        turns.take(member)
        turns.give()

    asyncio.run(open_one(1))
    use(2)
    turns.free_block()
    ran(lambda: contextvars.Context().run(asyncio.run, open_one(1)))
    use(2)
    turns.free_block()
    turns.take(1)
    turns.enter_block(1)
    turns.give()
    contextvars.Context().run(use, 2)


def test_a_task_whose_thread_stands_still_for_another_is_told_at_once():
    turns = Turns("it", seconds=3600)

    async def holds():
        await turns.atake(1)
        await asyncio.sleep(3600)

    async def main():
        holder = asyncio.create_task(holds())
        await asyncio.sleep(0)
        with pytest.raises(TurnTimedOut, match="same stack"):
            turns.take(2)
        holder.cancel()

    asyncio.run(main())


def test_a_waiting_task_is_woken_by_a_thread_and_a_cancelled_one_loses_nothing():
    turns = Turns("it", seconds=10)
    turns.take(1)

    async def use():
        await turns.atake(2)
        turns.give()

    async def main():
        first, second = asyncio.create_task(use()), asyncio.create_task(use())
        while len(turns._queue) < 2:  # noqa: ASYNC110 (the queue tells nobody)
            await asyncio.sleep(0)
        first.cancel()
        threading.Thread(target=turns.give).start()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
    turns.take(3)
    turns.give()


def test_a_task_that_waits_too_long_sees_the_stack_of_the_task_that_holds():
    turns = Turns("it", seconds=0.05)

    async def holding_task():
        await turns.atake(1)
        await asyncio.get_running_loop().create_future()

    async def main():
        holder = asyncio.create_task(holding_task(), name="the holder")
        await asyncio.sleep(0)
        with pytest.raises(TurnTimedOut) as told:
            await turns.atake(2)
        holder.cancel()
        return told.value

    error = asyncio.run(main())
    assert "task the holder" in str(error)
    assert "in holding_task" in error.holder_stack
