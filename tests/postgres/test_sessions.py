from contextlib import ExitStack

import pytest
from postgres_server import running_server

from freshpg.core.clock import Deadline
from freshpg.postgres.admin import Admin
from freshpg.postgres.sessions import end_everybody, sessions_in, terminate_in

ENDER, OTHER = "ender", "other"


@pytest.fixture(scope="module")
def server():
    """A server of this file's own: ending everybody would end what other tests keep open on the shared one."""
    with running_server() as conninfo:
        yield conninfo


@pytest.fixture
def room(admin, server):
    """A database, roles that are no superusers, and a way in for each."""
    admin.execute("CREATE DATABASE room STRATEGY file_copy")
    for role in (ENDER, OTHER):
        admin.execute(f"CREATE ROLE {role} LOGIN")
    with ExitStack() as stack:

        def enter(user=server.user, dbname="room"):
            return stack.enter_context(Admin.connect(server.with_(user=user, dbname=dbname)))

        yield enter
    admin.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename IN ('ender', 'other')"
    )
    for role in (ENDER, OTHER):
        admin.execute(f"DROP ROLE {role}")


@pytest.fixture
def oid(admin, room):
    return admin.value("SELECT oid FROM pg_database WHERE datname = 'room'")


def ended(admin, *sessions, spared=()):
    """Wait until these are gone, and say that the others are not."""
    limit = Deadline(20.0)
    while _left(admin, sessions):
        assert not limit.expired
        admin.value("SELECT pg_sleep(0.005)")
    return _left(admin, spared) == {session.pid for session in spared}


def _left(admin, sessions):
    pids = [session.pid for session in sessions]
    rows = admin.rows("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,))
    return {pid for (pid,) in rows}


def test_a_superuser_ends_everybody_in_one_database_and_nobody_elsewhere(admin, room, oid):
    inside, theirs, elsewhere = room(), room(OTHER), room(OTHER, "postgres")
    terminate_in(admin, oid)
    assert ended(admin, inside, theirs, spared=[elsewhere])


def test_who_is_inside_does_not_end_itself(admin, room, oid):
    inside = room()
    terminate_in(inside, oid)
    assert inside.value("SELECT 1") == 1
    assert [session.pid for session in sessions_in(inside, oid)] == []
    assert [session.pid for session in sessions_in(admin, oid)] == [inside.pid]


def test_a_plain_role_ends_its_own_sessions_and_spares_those_it_may_not_end(admin, room, oid):
    ender, own, theirs, superuser = room(ENDER, "postgres"), room(ENDER), room(OTHER), room()
    terminate_in(ender, oid)
    assert ended(admin, own, spared=[theirs, superuser])


def test_a_member_ends_the_sessions_of_its_group(admin, room, oid):
    admin.execute(f"GRANT {OTHER} TO {ENDER}")
    ender, theirs, superuser = room(ENDER, "postgres"), room(OTHER), room()
    terminate_in(ender, oid)
    assert ended(admin, theirs, spared=[superuser])


def test_with_the_right_to_signal_all_but_superusers_are_ended(admin, room, oid):
    admin.execute(f"GRANT pg_signal_backend TO {ENDER}")
    ender, own, theirs, superuser = room(ENDER, "postgres"), room(ENDER), room(OTHER), room()
    terminate_in(ender, oid)
    assert ended(admin, own, theirs, spared=[superuser])


def test_all_but_ourselves_are_ended_and_told_by_their_databases(admin, room, oid):
    inside, elsewhere = room(), room(OTHER, "postgres")
    # The server's own processes are no sessions: it goes on.
    # Sessions of the tests before may be about to leave.
    assert end_everybody(admin) >= {"room", "postgres"}
    assert ended(admin, inside, elsewhere)
    assert admin.value("SELECT 1") == 1
    assert end_everybody(admin) == set()


def test_a_prepared_transaction_holds_its_database_without_anybody_in_it(admin, room, oid):
    inside = room()
    inside.execute("BEGIN")
    inside.execute("CREATE TABLE t ()")
    inside.execute("PREPARE TRANSACTION 'held'")
    inside.close()
    limit = Deadline(20.0)
    while admin.value("SELECT count(*) FROM pg_stat_activity WHERE datname = 'room'"):
        assert not limit.expired
    try:
        assert "room" in end_everybody(admin)
    finally:
        room().execute("ROLLBACK PREPARED 'held'")
