import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from freshpg.core.clock import Deadline, SystemClock
from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import LeaseLost, NoFreeSlot
from freshpg.leases.keepalives import with_keepalives
from freshpg.leases.lease import LeaseConnection
from freshpg.leases.locks import holders


def names(slots):
    return [slot.name for slot in slots]


class ClockThatActs(SystemClock):
    """Sleeping lets something happen instead of time pass."""

    def __init__(self, act):
        self.act = act

    def sleep(self, seconds):
        self.act()


def script(server, body):
    """Start a Python process that has a lease connection and runs ``body``; it speaks on its output."""
    head = f"""
        import os, sys
        from freshpg.core.conninfo import Conninfo
        from freshpg.leases.lease import LeaseConnection
        lease = LeaseConnection.open(Conninfo.parse({server.url()!r}), worker="gw9")
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def says(process, word):
    ready, _, _ = select.select([process.stdout], [], [], 20)
    assert ready, "the process said nothing"
    assert process.stdout.readline().strip() == word


def end(process):
    process.kill()
    process.communicate(timeout=20)


def holder_in(admin, test):
    """Wait until the one holder says that it is in this test, and return what it says."""
    end_of_wait = Deadline(10.0)
    while True:
        (holder,) = holders(admin, ["shop_test"])
        if (holder.note and holder.note.test == test) or end_of_wait.expired:
            return holder


def test_the_first_free_slots_are_taken(lease_connection):
    assert names(lease_connection().lease("shop_test", 2)) == ["shop_test", "shop_test_2"]


def test_a_second_connection_takes_the_next_slots(lease_connection):
    lease_connection().lease("shop_test", 2)
    assert names(lease_connection().lease("shop_test", 2)) == ["shop_test_3", "shop_test_4"]


def test_leasing_again_on_one_connection_takes_other_slots(lease_connection):
    connection = lease_connection()
    connection.lease("shop_test", 1)
    assert names(connection.lease("shop_test", 1)) == ["shop_test_2"]
    assert names(connection.held) == ["shop_test", "shop_test_2"]


def test_where_fewer_are_free_those_are_taken(lease_connection):
    lease_connection().lease("shop_test", 1)
    assert names(lease_connection().lease("shop_test", 4, limit=2)) == ["shop_test_2"]


def test_no_lock_is_taken_beyond_the_slots_returned(lease_connection, admin):
    lease_connection().lease("shop_test", 2)
    assert [holder.slot for holder in holders(admin, ["shop_test"])] == [1, 2]


def test_a_released_slot_is_free_at_once_and_only_that_one(lease_connection):
    first, second = lease_connection(), lease_connection()
    slots = first.lease("shop_test", 3)
    first.release(slots[1:2])
    first.release(slots[1:2])
    assert names(second.lease("shop_test", 1)) == ["shop_test_2"]
    assert names(first.held) == ["shop_test", "shop_test_3"]


def test_when_all_are_held_the_error_names_every_holder_and_its_test(lease_connection, admin):
    first, second = lease_connection(worker="gw0"), lease_connection(worker="gw1")
    first.lease("shop_test", 1)
    first.note("tests/test_cart.py::test_pay")
    holder_in(admin, "tests/test_cart.py::test_pay")
    second.lease("shop_test", 1)
    with pytest.raises(NoFreeSlot) as caught:
        second.lease("shop_test", 1, limit=2, deadline=0)
    other, own = caught.value.holders
    assert f"shop_test: pid {os.getpid()}" in other
    assert "gw0, in tests/test_cart.py::test_pay" in other
    assert "shop_test_2: " in own
    assert "gw1" in own


def test_a_waiting_lease_gets_the_slot_that_becomes_free(lease_connection):
    first = lease_connection()
    slots = first.lease("shop_test", 1)
    second = lease_connection(clock=ClockThatActs(lambda: first.release(slots)))
    assert names(second.lease("shop_test", 1, limit=1)) == ["shop_test"]


def test_a_killed_process_frees_its_slots(server, lease_connection):
    process = script(
        server, 'lease.lease("shop_test", 2); print("held", flush=True); sys.stdin.read()'
    )
    try:
        says(process, "held")
        with pytest.raises(NoFreeSlot):
            lease_connection().lease("shop_test", 1, limit=2, deadline=0)
    finally:
        end(process)
    assert lease_connection().lease("shop_test", 1, limit=2, deadline=10)


FORK = """
    import signal
    lease.lease("shop_test", 1)
    if os.fork() == 0:
        print(0 if lease.alive or lease.held else os.getpid(), flush=True)
        signal.pause()
    sys.stdin.read()
"""


def test_a_forked_child_does_not_keep_its_killed_parents_lease(server, lease_connection):
    process = script(server, FORK)
    child = 0
    try:
        ready, _, _ = select.select([process.stdout], [], [], 20)
        assert ready
        child = int(process.stdout.readline())
        assert child
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        assert lease_connection().lease("shop_test", 1, limit=1, deadline=10)
        os.kill(child, 0)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
        end(process)


def test_a_forked_childs_end_does_not_end_its_parents_lease(server, admin, lease_connection):
    body = """
        lease.lease("shop_test", 1)
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        lease.check()
        lease.note("after")
        print("alive", flush=True)
        sys.stdin.read()
    """
    process = script(server, body)
    try:
        says(process, "alive")
        assert holder_in(admin, "after").note.test == "after"
        with pytest.raises(NoFreeSlot):
            lease_connection().lease("shop_test", 1, limit=1, deadline=0)
    finally:
        end(process)


def test_a_broken_connection_is_noticed_without_asking_the_server(lease_connection, admin):
    connection = lease_connection()
    connection.lease("shop_test", 1)
    assert connection.alive
    admin.value("SELECT pg_terminate_backend(%s, 10000)", (connection.backend,))
    assert not connection.alive
    with pytest.raises(LeaseLost) as caught:
        connection.check()
    assert caught.value.slots == ("shop_test",)


@pytest.mark.parametrize(
    "use",
    [
        lambda connection: connection.lease("shop_test", 1),
        lambda connection: connection.note("tests/test_x.py::test_y"),
        lambda connection: connection.release(connection.held),
        lambda connection: connection.share_readonly("shop_test"),
    ],
    ids=["lease", "note", "release", "share"],
)
def test_every_use_of_a_lost_lease_says_so(lease_connection, admin, use):
    connection = lease_connection()
    connection.lease("shop_test", 1)
    admin.value("SELECT pg_terminate_backend(%s, 10000)", (connection.backend,))
    with pytest.raises(LeaseLost):
        use(connection)


def test_a_closed_connection_holds_nothing_and_says_so(lease_connection):
    connection = lease_connection()
    connection.lease("shop_test", 1)
    connection.close()
    connection.close()
    assert connection.held == ()
    with pytest.raises(LeaseLost):
        connection.lease("shop_test", 1)


def test_of_tests_that_follow_quickly_the_last_is_shown_and_not_each(lease_connection, admin):
    connection = lease_connection()
    connection.lease("shop_test", 1)
    told = []
    real = connection._tell
    connection._tell = lambda: (told.append(connection._note.test), real())
    for number in range(50):
        connection.note(f"test_{number}")

    assert holder_in(admin, "test_49").note.test == "test_49"
    assert told[0] == "test_0"
    assert len(told) < 50
    connection.close()
    connection._teller._thread.join(10.0)
    assert not connection._teller._thread.is_alive()


@pytest.mark.parametrize(
    "test", ["tests/test_a.py::test[*/ DROP]", "a/*b", "x\n\0y\x1b[0m", "é" * 40, "\ud800"]
)
def test_others_see_which_test_runs_whatever_its_name(lease_connection, admin, test):
    connection = lease_connection(worker="gw3")
    connection.lease("shop_test", 1)
    connection.note(test)
    holder = holder_in(admin, test)
    assert holder.note.test == test
    assert (holder.note.pid, holder.note.worker) == (os.getpid(), "gw3")
    assert connection.alive


def test_the_shared_read_only_lock_is_held_together(lease_connection, admin):
    first, second = lease_connection(), lease_connection()
    assert first.share_readonly("shop_test")
    assert first.share_readonly("shop_test")
    assert second.share_readonly("shop_test")
    first.leave_readonly("shop_test")
    assert [holder.backend for holder in holders(admin, ["shop_test"])] == [second.backend]


def test_over_tcp_the_server_is_told_to_notice_a_vanished_or_frozen_holder():
    asked = dict(
        with_keepalives(Conninfo.parse("postgresql://me@db.example/x?options=-c%20a%3Db")).params
    )
    assert "-c idle_session_timeout=900s" in asked["options"]
    assert "-c tcp_keepalives_idle=30" in asked["options"]
    assert asked["options"].endswith("-c a=b")
    assert asked["keepalives_idle"] == "30"


def test_the_server_knows_the_options_sent_over_tcp(server):
    with LeaseConnection.open(with_keepalives(server)) as connection:
        assert connection._ask("SHOW idle_session_timeout")[0][0] == "15min"


def test_signs_of_life_are_sent_until_the_connection_closes(lease_connection, admin):
    connection = lease_connection()
    started = "SELECT query_start FROM pg_stat_activity WHERE pid = %s"
    before = admin.value(started, (connection.backend,))
    connection.ping_in_background(0.001)
    end_of_wait = Deadline(10.0)
    while admin.value(started, (connection.backend,)) == before:
        assert not end_of_wait.expired
