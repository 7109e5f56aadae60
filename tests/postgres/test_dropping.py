"""A refused drop is tried again, and what a drop left is found."""

import logging
from pathlib import Path

import psycopg
import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import DatabaseBusy, StatementFailed
from freshpg.postgres.databases import Databases
from freshpg.postgres.dropping import insist, look_after
from freshpg.postgres.mark import Mark


class Clock:
    """Time that passes by sleeping."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Door:
    """An act that is refused so often, and what was done about it."""

    def __init__(self, *refusals):
        self.refusals, self.did = list(refusals), []

    def act(self):
        self.did.append("act")
        if self.refusals:
            raise self.refusals.pop(0)

    def shut(self):
        self.did.append("shut")


def test_who_came_in_between_is_shut_out_and_the_act_tried_again():
    clock, door = Clock(), Door(DatabaseBusy(), DatabaseBusy())
    insist("shop", door.act, limit=Deadline(10.0, clock), shut=door.shut)
    assert door.did == ["act", "shut", "act", "shut", "act"]


def test_a_deadlock_is_waited_out_without_ending_anybody():
    clock, door = Clock(), Door(StatementFailed(sqlstate="40P01"))
    insist("shop", door.act, limit=Deadline(10.0, clock), shut=door.shut)
    assert door.did == ["act", "act"]


def test_pauses_grow_differ_from_each_other_and_end_with_the_deadline():
    clock, door = Clock(), Door(*(DatabaseBusy(seen=str(turn)) for turn in range(10_000)))
    with pytest.raises(DatabaseBusy):
        insist("shop", door.act, limit=Deadline(10.0, clock), shut=door.shut)
    assert clock.slept[0] < 0.001
    assert max(clock.slept) > 0.05
    assert max(clock.slept) <= 0.15
    assert len(set(clock.slept[20:30])) > 1
    assert clock.now == pytest.approx(10.0)


def test_what_no_waiting_mends_is_raised_at_once():
    clock, door = Clock(), Door(StatementFailed(sqlstate="42501"))
    with pytest.raises(StatementFailed):
        insist("shop", door.act, limit=Deadline(10.0, clock), shut=door.shut)
    assert (door.did, clock.slept) == (["act"], [])


@pytest.fixture
def shop(admin):
    """Name and oid of a database."""
    admin.execute("CREATE DATABASE shop_test STRATEGY file_copy")
    return "shop_test", admin.value("SELECT oid FROM pg_database WHERE datname = 'shop_test'")


def test_a_database_that_is_still_there_is_seen_whole(admin, server, shop, caplog):
    name, oid = shop
    with psycopg.connect(**server.with_(dbname=name).keywords()):
        left = look_after(admin, name, oid, own=True)
        assert left == ["its row in pg_database", "sessions in it", "its directory"]
        assert look_after(admin, name, oid, own=False) == left[:2]
    assert "of the dropped database shop_test is left: its row" in caplog.text


@pytest.mark.parametrize("own", [True, False])
def test_a_dropped_database_leaves_nothing_and_that_is_written_down(admin, shop, caplog, own):
    name, oid = shop
    databases = Databases(admin, own=True)
    databases.mark(name, Mark(kind="slot", blueprint="main", fingerprint="ab", made="now"))
    databases.own = own
    with caplog.at_level(logging.DEBUG, "freshpg"):
        assert databases.drop(name)
    assert "left no row, session or directory" in caplog.text
    assert look_after(admin, name, oid, own=True) == []


def test_a_directory_that_drop_database_left_is_found(admin, server, shop, caplog):
    name, oid = shop
    admin.execute(f"DROP DATABASE {name}")
    planted = Path(server.host, "data", "base", str(oid))
    planted.mkdir()
    try:
        assert look_after(admin, name, oid, own=True) == ["its directory"]
    finally:
        planted.rmdir()
    assert "is left: its directory" in caplog.text
