"""FakeClock: time for whatever takes a clock."""

from freshpg.core.clock import Deadline
from freshpg.testing import FakeClock


def test_sleeping_returns_at_once_and_the_time_has_passed():
    clock = FakeClock()
    deadline = Deadline(10.0, clock)
    epoch = clock.time()

    clock.sleep(9.5)

    assert (deadline.remaining, deadline.expired, clock.time() - epoch) == (0.5, False, 9.5)
    clock.sleep(0.5)
    assert deadline.expired


def test_time_never_goes_back():
    clock = FakeClock(5.0)

    clock.sleep(-1)

    assert clock.monotonic() == 5.0
