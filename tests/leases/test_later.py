"""A lease that is opened while the first test already runs."""

from __future__ import annotations

import pytest

from freshpg.core.errors import FreshpgError, LeaseClosed
from freshpg.leases.later import LaterLease
from freshpg.leases.slots import Slot


class Door:
    """Refuses as often as it was told, each time in its way, and then opens."""

    def __init__(self, connect, *refusals):
        self._connect = connect
        self._refusals = list(refusals)
        self.opened = []

    def __call__(self):
        if self._refusals:
            raise self._refusals.pop(0)
        self.opened.append(self._connect())
        return self.opened[-1]


@pytest.fixture
def make_later(lease_connection):
    made = []

    def make(*refusals, head_start=0.0):
        door = Door(lease_connection, *refusals)
        made.append(LaterLease(door, head_start))
        return made[-1], door

    yield make
    for later in made:
        later.close()


def test_what_is_to_be_held_is_held_as_soon_as_there_is_a_connection(make_later):
    later, _ = make_later(head_start=60.0)
    later.hold([Slot("later_test", 3)])
    assert later.connection.held == (Slot("later_test", 3),)


def test_what_could_not_be_opened_is_told_and_opened_again(make_later):
    later, _ = make_later(OSError("no descriptor"))
    with pytest.raises(OSError, match="no descriptor"):
        _ = later.connection
    later.reopen()
    assert later.connection.alive


def test_an_interruption_while_it_is_opened_again_keeps_nobody_waiting(make_later):
    later, _ = make_later(OSError("no descriptor"), KeyboardInterrupt())
    with pytest.raises(OSError, match="no descriptor"):
        _ = later.connection
    with pytest.raises(KeyboardInterrupt):
        later.reopen()
    # Not WaitTimedOut: nobody waits for what will not come.
    with pytest.raises(LeaseClosed, match="KeyboardInterrupt"):
        _ = later.connection
    later.reopen()
    assert later.connection.alive


def test_a_connection_that_cannot_hold_what_it_should_is_closed(make_later):
    later, door = make_later(head_start=60.0)
    # No lock has such a number, so the server refuses and keeps the session.
    later.hold([Slot("later_test", 2**40)])
    with pytest.raises(FreshpgError):
        _ = later.connection
    (opened,) = door.opened
    assert opened.descriptor == -1


def test_closing_what_could_not_be_opened_is_no_matter(make_later):
    later, _ = make_later(OSError("no descriptor"))
    later.close()
    later.close()


def test_one_that_is_closed_before_it_was_needed_is_not_opened(make_later):
    later, door = make_later(head_start=60.0)
    later.close()
    with pytest.raises(LeaseClosed):
        _ = later.connection
    assert door.opened == []
