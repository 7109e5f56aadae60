from hypothesis import given
from hypothesis import strategies as st

from freshpg.isolation.ledger import Ledger

NAMES = ["a", "b", "c", "d"]


def test_the_target_is_built_first_and_then_there_is_nothing_to_do():
    ledger = Ledger(NAMES, 2)
    jobs = [ledger.next_job(), ledger.next_job(), ledger.next_job()]
    assert [job and (job.name, job.build) for job in jobs] == [("a", True), ("b", True), None]


def test_clones_are_handed_out_in_the_order_they_became_ready():
    ledger = Ledger(NAMES, 3)
    for name in ("c", "a"):
        ledger.ready(name)
    assert [ledger.take("t"), ledger.take("t"), ledger.take("t")] == ["c", "a", None]


def test_a_used_database_is_dropped_even_when_no_clone_is_wanted():
    ledger = Ledger(NAMES, 1)
    ledger.ready("a")
    ledger.ready("b")
    ledger.take("t")
    ledger.used("a", ["a", "old"])
    job = ledger.next_job()
    assert (job.name, job.drop, job.build) == ("a", ("a", "old"), False)


def test_a_waiting_taker_gets_an_empty_slot_before_a_used_one():
    ledger = Ledger(NAMES, 1)
    ledger.used("a", ["a"])
    ledger.waiting = 1
    assert ledger.next_job().name == "b"


def test_a_slot_that_failed_is_tried_after_the_others():
    ledger = Ledger(["a", "b"], 1)
    ledger.used("a", ["a"])
    ledger.used("b", ["b"])
    first = ledger.next_job().name
    ledger.failed(first, ["a"])
    assert (first, ledger.next_job().name) == ("a", "b")


def test_each_waiting_taker_asks_for_one_more():
    ledger = Ledger(NAMES, 1, waiting=2)
    assert [bool(ledger.next_job()) for _ in range(4)] == [True, True, True, False]


def test_a_lost_slot_is_never_used_again():
    ledger = Ledger(["a"], 1)
    ledger.lose("a")
    assert ledger.next_job() is None
    assert ledger.take("t") is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "give", "job", "done", "fail"]), st.integers(0, 3)),
        max_size=80,
    )
)
def test_no_slot_is_ever_handed_out_twice_or_while_it_is_worked_on(steps):
    ledger = Ledger(NAMES, 2)
    taken, busy = set(), {}
    for step, pick in steps:
        if step == "take" and (name := ledger.take("t")) is not None:
            assert name not in taken
            assert name not in busy
            taken.add(name)
        elif step == "give" and taken:
            name = sorted(taken)[pick % len(taken)]
            taken.remove(name)
            ledger.used(name, [name])
        elif step == "job" and (job := ledger.next_job()) is not None:
            assert job.name not in taken
            assert job.name not in busy
            busy[job.name] = job
        elif step in {"done", "fail"} and busy:
            job = busy.pop(sorted(busy)[pick % len(busy)])
            if step == "fail":
                ledger.used(job.name, [job.name])
            elif job.build:
                ledger.ready(job.name)
            else:
                ledger.empty(job.name)
        assert set(ledger.in_state("taken")) == taken
        assert set(ledger.in_state("busy")) == set(busy)
        assert ledger.count("ready") + sum(job.build for job in busy.values()) <= 2
