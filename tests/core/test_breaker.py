"""A circuit breaker: opens by the share of failures, lets one caller probe, and closes when that one succeeds."""

import threading
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freshpg.core.breaker import MOST_CALLS, CircuitBreaker, Memory


@dataclass
class HandClock:
    now: float = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(window=30, rate=0.5, minimum=4, probe_after=5, clock=clock)


def opened(breaker):
    for _ in range(breaker.minimum):
        assert breaker.allow()
        breaker.record_failure()
    assert breaker.state == "open"
    return breaker


def test_too_few_calls_say_nothing(breaker):
    for _ in range(3):
        breaker.record_failure()
    assert (breaker.state, breaker.allow(), breaker.recent) == ("closed", True, (3, 3))


def test_it_opens_at_its_rate(breaker):
    for good in (True, True, True, False, False):
        breaker.record_success() if good else breaker.record_failure()
        assert breaker.state == "closed"
    breaker.record_failure()
    assert (breaker.state, breaker.allow()) == ("open", False)


def test_a_success_never_opens_it(breaker):
    for _ in range(3):
        breaker.record_failure()
    breaker.record_success()
    assert breaker.state == "closed"


def test_failures_beyond_the_window_are_forgotten(breaker, clock):
    for _ in range(3):
        breaker.record_failure()
    clock.sleep(30.5)
    breaker.record_failure()
    assert (breaker.state, breaker.recent) == ("closed", (1, 1))


def test_no_more_than_so_many_calls_are_remembered(breaker):
    for _ in range(MOST_CALLS + 10):
        breaker.record_success()
    assert breaker.recent == (0, MOST_CALLS)


def test_while_open_it_says_how_long(breaker, clock):
    opened(breaker)
    clock.sleep(2)
    assert (breaker.allow(), breaker.retry_in) == (False, 3)


def test_one_caller_at_a_time_probes(breaker, clock):
    opened(breaker)
    clock.sleep(5)
    assert (breaker.state, breaker.allow()) == ("half_open", True)
    assert (breaker.allow(), breaker.retry_in) == (False, 5)


def test_a_probe_that_succeeds_closes_it_with_a_clean_slate(breaker, clock):
    opened(breaker)
    clock.sleep(5)
    assert breaker.allow()
    breaker.record_success()
    assert (breaker.state, breaker.recent, breaker.retry_in) == ("closed", (0, 0), 0)


def test_a_probe_that_fails_opens_it_anew(breaker, clock):
    opened(breaker)
    clock.sleep(5)
    assert breaker.allow()
    clock.sleep(1)
    breaker.record_failure()
    assert (breaker.state, breaker.retry_in) == ("open", 5)


def test_a_probe_that_vanishes_stands_in_the_way_for_a_while_only(breaker, clock):
    opened(breaker)
    clock.sleep(5)
    assert breaker.allow()
    clock.sleep(4.9)
    assert not breaker.allow()
    clock.sleep(0.1)
    assert breaker.allow()


def test_after_an_abandoned_probe_the_next_caller_probes(breaker, clock):
    opened(breaker)
    clock.sleep(5)
    assert breaker.allow()
    breaker.abandon()
    assert (breaker.state, breaker.allow()) == ("half_open", True)


@pytest.mark.parametrize("later", [0, 5])
def test_calls_from_before_it_opened_change_nothing(breaker, clock, later):
    opened(breaker)
    clock.sleep(later)
    state = breaker.state
    breaker.record_success()
    breaker.record_failure()
    assert (breaker.state, breaker.retry_in) == (state, 5 - later)


def test_another_process_knows_what_one_learned(breaker, clock):
    opened(breaker)
    other = CircuitBreaker(window=30, rate=0.5, minimum=4, probe_after=5, clock=clock)
    other.adopt(breaker.export())
    clock.sleep(5)
    assert other.allow()
    breaker.adopt(other.export())
    assert not breaker.allow()


def test_what_another_boot_knew_is_left_out(breaker, clock):
    opened(breaker)
    early = HandClock(clock.now - 500)
    other = CircuitBreaker(minimum=4, clock=early)
    other.adopt(breaker.export())
    assert (other.state, other.recent) == ("closed", (0, 0))


def test_what_is_exported_is_a_copy(breaker):
    memory = breaker.export()
    breaker.record_failure()
    assert memory == Memory()


def test_of_many_threads_one_probes(breaker, clock):
    opened(breaker)
    clock.sleep(5)
    together = threading.Barrier(8)
    answers = Counter()

    def call():
        together.wait(10)
        answers[breaker.allow()] += 1

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == {True: 1, False: 7}


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"rate": 0}, {"rate": 1.1}, {"minimum": 0}, {"probe_after": -1}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CircuitBreaker(**wrong)


class BreakerMachine(RuleBasedStateMachine):
    """Callers come, work, fail, vanish; time passes: the breaker does what its history demands."""

    def __init__(self):
        super().__init__()
        self.clock = HandClock()
        self.breaker = CircuitBreaker(
            window=20, rate=0.5, minimum=3, probe_after=5, clock=self.clock
        )
        self.out = 0
        self.history = []
        self.opened_at = None
        self.probe_at = None

    @rule(seconds=st.sampled_from([0.25, 1.0, 2.5, 5.0, 21.0]))
    def time_passes(self, seconds):
        self.clock.sleep(seconds)

    @rule()
    def a_caller_asks(self):
        now = self.clock.now
        quiet = self.opened_at is None or (
            now >= self.opened_at + 5 and (self.probe_at is None or now >= self.probe_at + 5)
        )
        assert self.breaker.allow() is quiet
        if quiet:
            self.out += 1
            if self.opened_at is not None:
                self.probe_at = now

    @precondition(lambda self: self.out)
    @rule(good=st.booleans())
    def a_call_ends(self, good):
        self.out -= 1
        now = self.clock.now
        (self.breaker.record_success if good else self.breaker.record_failure)()
        if self.opened_at is None:
            self.history.append((now, good))
            recent = [was for at, was in self.history if now - at <= 20]
            if not good and len(recent) >= 3 and recent.count(False) * 2 >= len(recent):
                self.opened_at, self.history = now, []
        elif self.probe_at is not None:
            self.opened_at, self.probe_at = (None if good else now), None

    @precondition(lambda self: self.out)
    @rule()
    def a_call_vanishes(self):
        self.out -= 1

    @rule()
    def a_probe_is_abandoned(self):
        self.breaker.abandon()
        self.probe_at = None

    @rule()
    def another_process_takes_over(self):
        memory = self.breaker.export()
        self.breaker = CircuitBreaker(
            window=20, rate=0.5, minimum=3, probe_after=5, clock=self.clock
        )
        self.breaker.adopt(memory)

    @invariant()
    def the_state_is_what_the_history_says(self):
        if self.opened_at is None:
            assert self.breaker.state == "closed"
        else:
            waited = self.clock.now >= self.opened_at + 5
            assert self.breaker.state == ("half_open" if waited else "open")

    @invariant()
    def nobody_waits_longer_than_a_probe_may_take(self):
        assert 0 <= self.breaker.retry_in <= 5


TestBreakerMachine = BreakerMachine.TestCase
