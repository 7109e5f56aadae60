"""Engines tell what happened; who listens can neither be forgotten nor fail a test."""

import logging

import pytest

from freshpg.core.events import Bus, CloneMade, DatabaseHandedOut, Progress

EVENT = Progress("building")


def test_every_subscriber_hears_every_event_in_order():
    bus, first, second = Bus(), [], []
    bus.subscribe(first.append)
    bus.subscribe(second.append)
    events = [EVENT, CloneMade("shop_test", 0.01, waited_for=False)]
    for event in events:
        bus.emit(event)
    assert first == second == events


def test_a_failing_subscriber_is_logged_and_stops_nobody(caplog):
    bus, heard = Bus(), []
    bus.subscribe(lambda event: 1 / 0)
    bus.subscribe(heard.append)
    with caplog.at_level(logging.ERROR, "freshpg"):
        bus.emit(EVENT)
    assert heard == [EVENT]
    assert "division by zero" in caplog.text


def test_an_interrupt_is_not_swallowed():
    def interrupt(event):
        raise KeyboardInterrupt

    bus = Bus()
    bus.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.emit(EVENT)


def test_a_subscriber_may_subscribe_another_which_hears_the_next_event():
    bus, heard = Bus(), []
    bus.subscribe(lambda event: bus.subscribe(heard.append) if not heard else None)
    bus.emit(EVENT)
    assert heard == []
    bus.emit(EVENT)
    assert heard == [EVENT]


def test_events_are_unchangeable_data():
    event = DatabaseHandedOut("main", "shop_test", "clone", 0.001)
    assert event == DatabaseHandedOut("main", "shop_test", "clone", 0.001)
    with pytest.raises(AttributeError):
        event.seconds = 2
