"""A lease connection from its opening to its end: what it holds, lends and tells, and what is said when it is lost."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from freshpg.core.clock import Deadline, SystemClock
from freshpg.core.errors import FreshpgError, LeaseLost, NoFreeSlot, StatementFailed
from freshpg.leases.lease import APPLICATION, LeaseConnection
from freshpg.leases.locks import holders, proven_free
from freshpg.leases.slots import READONLY, Slot
from freshpg.testing import FaultyServer

FIRST, SECOND, THIRD = (Slot("shop_test", number) for number in (1, 2, 3))


class StandingClock(SystemClock):
    """Time that passes by sleeping alone, each sleep remembered."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(seconds, 1e-6)


class LeapingClock(SystemClock):
    """So many seconds pass whenever somebody looks."""

    now, leap = 0.0, 0.0

    def monotonic(self):
        self.now += self.leap
        return self.now


def held(admin):
    return [holder.slot for holder in holders(admin, ["shop_test"])]


def end_session(admin, connection):
    admin.value("SELECT pg_terminate_backend(%s, 10000)", (connection.backend,))


def wait_for(ask):
    end = Deadline(10.0)
    while not ask():
        assert not end.expired


@pytest.fixture
def in_thread():
    """Do something in a thread that ends with the test, and return what its error will be put into."""
    threads = []

    def start(act):
        errors = []

        def run():
            try:
                act()
            except FreshpgError as error:
                errors.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return lambda: (threads[-1].join(10.0), errors)[1]

    yield start
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()


def waiting(admin):
    """Process ids of sessions that wait for an advisory lock."""
    rows = admin.rows("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return [pid for (pid,) in rows]


# What is held


def test_the_very_slots_asked_for_are_held_once_however_often_they_are_asked_for(
    lease_connection, admin
):
    connection = lease_connection()
    connection.hold([SECOND])
    connection.hold([SECOND, THIRD])
    connection.hold([])
    assert connection.held == (SECOND, THIRD)
    assert held(admin) == [2, 3]
    connection.release([SECOND, THIRD])
    assert held(admin) == []


def test_a_slot_that_somebody_holds_is_waited_for_and_a_refusal_is_no_loss(
    lease_connection, admin, in_thread
):
    holder, connection = lease_connection(), lease_connection()
    holder.hold([FIRST])
    errors = in_thread(lambda: connection.hold([FIRST]))
    wait_for(lambda: waiting(admin) == [connection.backend])
    admin.value("SELECT pg_cancel_backend(%s)", (connection.backend,))
    (error,) = errors()
    assert not isinstance(error, LeaseLost)
    assert error.data["sqlstate"] == "57014"
    connection.check()
    assert connection.held == ()


def test_slots_of_one_name_do_not_count_for_another(lease_connection):
    connection = lease_connection()
    connection.hold([Slot("other_test", 1)])
    assert connection.lease("shop_test") == [FIRST]


def test_without_a_number_one_slot_of_sixty_four_is_leased(lease_connection):
    connection = lease_connection()
    assert connection.lease("shop_test") == [FIRST]
    assert len(connection.lease("shop_test", 100)) == 63
    with pytest.raises(NoFreeSlot, match="one of 64 slots"):
        connection.lease("shop_test", deadline=0)


def test_a_slot_is_asked_for_again_soon_and_then_less_often_for_half_a_minute(lease_connection):
    lease_connection().hold([FIRST])
    clock = StandingClock()
    with pytest.raises(NoFreeSlot, match="waited 30 s for one of 1 slots"):
        lease_connection(clock=clock).lease("shop_test", limit=1)
    assert clock.slept[0] < 0.003
    assert 0.19 < max(clock.slept) < 0.31
    assert clock.now == pytest.approx(30.0, abs=0.01)


def test_the_end_of_a_with_statement_gives_all_back(server, admin):
    with LeaseConnection.open(server) as connection:
        connection.hold([FIRST])
        assert held(admin) == [1]
    wait_for(lambda: held(admin) == [])


def test_who_is_interrupted_while_it_opens_one_leaves_no_connection(server, admin):
    class Interrupted(SystemClock):
        def time(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LeaseConnection.open(server, clock=Interrupted())
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    wait_for(lambda: admin.value(asked, (APPLICATION,)) == 0)


# The shared read-only database


def test_the_shared_database_is_not_shared_while_somebody_replaces_it(lease_connection, admin):
    connection = lease_connection()
    with proven_free(admin, "shop_test", READONLY):
        assert not connection.share_readonly("shop_test")
    assert connection.share_readonly("shop_test")
    assert connection.share_readonly("shop_test")
    with proven_free(admin, "shop_test", READONLY) as alone:
        assert not alone
    connection.leave_readonly("shop_test")
    connection.leave_readonly("shop_test")
    with proven_free(admin, "shop_test", READONLY) as alone:
        assert alone
    # Who comes back shares it anew.
    assert connection.share_readonly("shop_test")
    with proven_free(admin, "shop_test", READONLY) as alone:
        assert not alone


def test_who_lost_its_share_is_not_told_that_it_has_it(lease_connection, admin):
    connection = lease_connection()
    connection.share_readonly("shop_test")
    end_session(admin, connection)
    with pytest.raises(LeaseLost):
        connection.share_readonly("shop_test")


# After a loss


def test_leases_are_taken_again_on_a_new_connection(lease_connection, admin):
    connection = lease_connection()
    connection.hold([FIRST, THIRD])
    connection.share_readonly("shop_test")
    connection.note("tests/test_x.py::test_y")
    end_session(admin, connection)
    # A second time is as good as the first, although that one stands.
    for _ in range(2):
        before = connection.backend
        connection.renew()
        assert connection.backend != before
        connection.check()
        assert held(admin) == [0, 1, 3]
    connection.note("tests/test_x.py::test_z")
    assert {holder.backend for holder in holders(admin, ["shop_test"])} == {connection.backend}


def test_who_gets_only_some_of_its_leases_again_has_none(lease_connection, admin, in_thread):
    connection, thief = lease_connection(), lease_connection()
    connection.hold([FIRST])
    end_session(admin, connection)
    thief.hold([FIRST])
    errors = in_thread(connection.renew)
    wait_for(lambda: waiting(admin))
    admin.value("SELECT pg_cancel_backend(%s)", waiting(admin))
    (error,) = errors()
    assert error.data["sqlstate"] == "57014"
    with pytest.raises(LeaseLost, match="broke"):
        connection.check()


def test_a_closed_lease_says_that_it_is_closed(lease_connection, admin):
    connection = lease_connection()
    connection.hold([FIRST])
    connection.share_readonly("shop_test")
    connection.close()
    for use in (
        connection.check,
        connection.note,
        lambda: connection.lease("shop_test"),
        lambda: connection.share_readonly("shop_test"),
        lambda: connection.borrow().__enter__(),
    ):
        with pytest.raises(LeaseLost, match="the connection is closed"):
            use()
    connection.leave_readonly("shop_test")
    assert not connection.alive
    assert connection.descriptor == -1
    wait_for(lambda: held(admin) == [])


def test_its_descriptor_tells_of_its_end(lease_connection, admin):
    connection = lease_connection()
    with connection.borrow():
        assert select.select([connection.descriptor], [], [], 0)[0] == []
    end_session(admin, connection)
    assert select.select([connection.descriptor], [], [], 10.0)[0] == [connection.descriptor]


def test_a_server_that_does_not_reply_in_time_has_lost_the_leases(lease_connection):
    clock = LeapingClock()
    connection = lease_connection(clock=clock)
    connection.hold([FIRST])
    os.kill(connection.backend, signal.SIGSTOP)
    try:
        connection.note("tests/test_x.py::test_y")
        clock.leap = 60.0
        with pytest.raises(LeaseLost, match="did not reply for 10 s") as caught:
            connection.release([FIRST])
        assert caught.value.slots == ("shop_test",)
    finally:
        os.kill(connection.backend, signal.SIGCONT)


# What is lent


def test_a_lent_connection_is_quiet_and_shows_the_test_again_afterwards(lease_connection, admin):
    connection = lease_connection()
    connection.hold([FIRST])
    connection.note("tests/test_x.py::test_y")
    with connection.borrow() as lent:
        assert lent.value("SELECT 1") == 1
        (holder,) = holders(admin, ["shop_test"])
        assert holder.note is None

    def shown():
        (holder,) = holders(admin, ["shop_test"])
        return holder.note and holder.note.test == "tests/test_x.py::test_y"

    wait_for(shown)


def test_a_connection_that_breaks_while_it_is_lent_hides_no_other_error(lease_connection, admin):
    connection = lease_connection()

    def fail():
        with connection.borrow():
            end_session(admin, connection)
            raise LookupError("the first")

    with pytest.raises(LookupError, match="the first"):
        fail()


def test_a_lost_connection_is_not_lent(lease_connection, admin):
    connection = lease_connection()
    connection.note("tests/test_x.py::test_y")
    end_session(admin, connection)
    with pytest.raises(LeaseLost), connection.borrow():
        pass


def test_a_refused_statement_on_a_lent_connection_is_no_loss(lease_connection):
    connection = lease_connection()
    with pytest.raises(StatementFailed), connection.borrow() as lent:
        lent.execute("SELECT nothing_of_this_name")
    connection.check()


# What is told


def test_without_a_new_name_the_test_shown_stays(lease_connection, admin):
    connection = lease_connection()
    connection.hold([FIRST])
    connection.note("tests/test_x.py::test_y")
    connection.note()
    connection.note()
    connection.hold([SECOND])
    shown = {holder.note.test for holder in holders(admin, ["shop_test"])}
    assert shown == {"tests/test_x.py::test_y"}


def test_a_note_that_would_be_told_later_says_at_once_that_the_lease_is_lost(
    lease_connection, admin
):
    connection = lease_connection(clock=StandingClock())
    connection.note("tests/test_x.py::test_y")
    end_session(admin, connection)
    with pytest.raises(LeaseLost):
        connection.note("tests/test_x.py::test_z")


def test_what_is_told_fits_what_the_server_shows(lease_connection, admin):
    connection = lease_connection(query_bytes=200)
    connection.hold([FIRST])
    connection.note("t" * 500)
    connection.hold([SECOND])
    first, second = holders(admin, ["shop_test"])
    assert first.note.test == second.note.test
    assert 10 < len(first.note.test) < 200
    assert first.note.test.endswith("…")


def test_signs_of_life_end_with_the_connection(lease_connection):
    connection = lease_connection()
    before = set(threading.enumerate())
    connection.ping_in_background(60)
    (ping,) = set(threading.enumerate()) - before
    connection.close()
    ping.join(10.0)
    assert not ping.is_alive()


def asked(lease):
    with lease.borrow() as lent:
        return lent.value("SHOW idle_session_timeout")


def test_over_tcp_a_silent_session_ends_and_signs_of_life_keep_it(server, admin):
    with (
        FaultyServer(server, listen="tcp") as proxy,
        LeaseConnection.open(proxy.conninfo, ping_every=0.001) as lease,
    ):
        assert asked(lease) == "15min"
        started = "SELECT query_start FROM pg_stat_activity WHERE pid = %s"
        before = admin.value(started, (lease.backend,))
        wait_for(lambda: admin.value(started, (lease.backend,)) != before)


def test_over_a_socket_nothing_ends_a_silent_session_and_no_sign_is_sent(server):
    before = threading.active_count()
    with LeaseConnection.open(server) as lease:
        assert asked(lease) == "0"
        assert threading.active_count() == before


SCRIPT = """
    import os, sys, threading, warnings
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import LeaseLost
    from freshpg.leases.lease import LeaseConnection
    lease = LeaseConnection.open(Conninfo.parse(sys.argv[1]))
"""


def run(server, body):
    source = textwrap.dedent(SCRIPT) + textwrap.dedent(body)
    command = [sys.executable, "-c", source, server.url()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_process_ends_although_its_lease_still_sends_signs_of_life(server):
    assert run(server, 'lease.ping_in_background(60); print("over")') == ["over"]


def test_a_child_forked_while_a_thread_uses_the_lease_has_no_part_in_it(server):
    body = """
        lease.lease("shop_test")
        lease.share_readonly("shop_test")
        lent, over = threading.Event(), threading.Event()

        def use():
            with lease.borrow():
                lent.set()
                over.wait(20)

        thread = threading.Thread(target=use)
        thread.start()
        lent.wait(20)
        # From 3.12 on Python warns of just what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            print(lease.held, lease.alive)
            for act in (lease.check, lambda: lease.share_readonly("shop_test")):
                try:
                    act()
                except LeaseLost as error:
                    print(error.seen)
            lease.leave_readonly("shop_test")
            lease.close()
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        over.set()
        thread.join()
        lease.check()
    """
    assert run(server, body) == ["() False", *["the connection is closed"] * 2]
