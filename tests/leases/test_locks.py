"""Who holds a slot is told of that slot alone, whatever other locks there are on the server."""

from contextlib import suppress

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import FreshpgError
from freshpg.leases.holder import HolderNote
from freshpg.leases.locks import Holder, holders, proven_free
from freshpg.leases.slots import lock_class
from freshpg.postgres.admin import Admin

KEY = lock_class("shop_test")


@pytest.fixture
def session(server):
    """Open sessions that end with the test."""
    opened = []

    def open_one(dbname="postgres"):
        opened.append(Admin.connect(server.with_(dbname=dbname)))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def slots(admin):
    return [(holder.base, holder.slot) for holder in holders(admin, ["shop_test"])]


@pytest.mark.parametrize(
    "lock",
    [
        f"pg_advisory_lock({KEY + 1}, 1)",
        # The same number, written as the one key of another space.
        f"pg_advisory_lock(({KEY}::bigint << 32) | 2)",
    ],
    ids=["of another base", "with one key"],
)
def test_another_lock_is_no_slots(admin, session, lock):
    session().execute(f"SELECT {lock}")
    assert slots(admin) == []


def test_a_lock_in_another_database_is_no_slots_of_this_one(admin, session):
    admin.execute("CREATE DATABASE elsewhere STRATEGY file_copy")
    there = session("elsewhere")
    there.execute(f"SELECT pg_advisory_lock({KEY}, 1)")
    assert slots(admin) == []
    assert slots(there) == [("shop_test", 1)]


def test_who_waits_for_a_slot_does_not_hold_it(admin, session):
    holder, waiting = session(), session()
    holder.execute(f"SELECT pg_advisory_lock({KEY}, 1)")
    waiting.connection.pgconn.send_query(f"SELECT pg_advisory_lock({KEY}, 1)".encode())
    end = Deadline(10.0)
    while not admin.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        assert not end.expired
    assert [found.backend for found in holders(admin, ["shop_test"])] == [holder.pid]


def test_a_slot_proven_free_is_nobody_elses_until_that_is_over(admin, session):
    other = session()
    with proven_free(admin, "shop_test", 2) as free:
        assert free
        assert slots(admin) == [("shop_test", 2)]
        with proven_free(other, "shop_test", 2) as again:
            assert not again
        assert slots(admin) == [("shop_test", 2)]
    assert slots(admin) == []


def test_a_connection_that_breaks_meanwhile_hides_no_other_error(admin, session):
    breaking = session()

    def fail():
        with proven_free(breaking, "shop_test", 2):
            admin.value("SELECT pg_terminate_backend(%s, 10000)", (breaking.pid,))
            with suppress(FreshpgError):
                breaking.value("SELECT 1")
            raise LookupError("the first")

    with pytest.raises(LookupError, match="the first"):
        fail()


@pytest.mark.parametrize(
    "address, note, words",
    [
        ("", None, "backend 7 'psql'"),
        ("10.0.0.1", None, "backend 7 'psql' from 10.0.0.1"),
        ("10.0.0.1", HolderNote(8, "box"), "pid 8 on box"),
    ],
)
def test_a_holder_is_named_by_what_is_known_of_it(address, note, words):
    assert str(Holder("shop_test", 1, 7, "psql", address, note)) == words
