"""Waiting: clocks that users cannot freeze, deadlines, and delays that grow to a limit."""

import random
import time
from dataclasses import dataclass
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshpg.core.backoff import delays
from freshpg.core.clock import SYSTEM_CLOCK, Deadline


@dataclass
class HandClock:
    now: float = 0.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_deadline_counts_from_its_making():
    clock = HandClock(100.0)
    deadline = Deadline(10.0, clock)
    assert (deadline.elapsed, deadline.remaining, deadline.expired) == (0.0, 10.0, False)
    clock.sleep(9.5)
    assert (deadline.elapsed, deadline.remaining, deadline.expired) == (9.5, 0.5, False)
    clock.sleep(0.5)
    assert (deadline.remaining, deadline.expired) == (0.0, True)
    clock.sleep(5)
    assert (deadline.elapsed, deadline.remaining) == (15.0, 0.0)


def test_a_deadline_may_have_started_before():
    assert Deadline(10.0, HandClock(100.0), started=95.0).remaining == 5.0


def test_no_time_at_all_is_over_at_once():
    assert Deadline(0.0, HandClock()).expired


def test_the_system_clock_ignores_frozen_time(monkeypatch):
    for name in ("monotonic", "time", "sleep"):
        monkeypatch.setattr(time, name, lambda *_: pytest.fail("asked the frozen one"))
    first = SYSTEM_CLOCK.monotonic()
    SYSTEM_CLOCK.sleep(0)
    assert SYSTEM_CLOCK.monotonic() >= first
    assert SYSTEM_CLOCK.time() > 1_600_000_000


def test_delays_grow_by_their_factor_up_to_the_limit():
    assert list(islice(delays(1, factor=2, limit=5, jitter=0), 5)) == [1, 2, 4, 5, 5]


@given(
    st.floats(0.001, 100),
    st.floats(1, 10),
    st.floats(0.001, 100),
    st.floats(0, 1),
    st.integers(),
)
def test_no_delay_is_negative_or_strays_further_than_its_jitter(first, factor, limit, jitter, seed):
    for delay in islice(
        delays(first, factor=factor, limit=limit, jitter=jitter, source=random.Random(seed)), 20
    ):
        assert 0 <= delay <= limit * (1 + jitter) * 1.000001


def test_equal_seeds_of_a_test_suite_do_not_make_workers_wait_in_step():
    random.seed(1)
    one = list(islice(delays(), 5))
    random.seed(1)
    assert list(islice(delays(), 5)) != one


def test_waiting_uses_up_no_chance_of_the_test_suite():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    list(islice(delays(), 5))
    assert random.random() == expected
