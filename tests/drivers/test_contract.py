"""What holds for every driver at every level that is offered for it."""

import pytest
from drivers_clients import BY_ADDRESS, OF_OURS, REFUSED_AT_ROLLBACK, everything

from freshpg.core.clock import Deadline
from freshpg.core.errors import DriverUnusable

WRITING = ("rollback", "reset", "clone")
COMMITTING = ("reset", "clone")
SEEDED = ["seeded"]


def offered(*levels):
    return pytest.mark.parametrize("level, kind", list(everything(*levels)))


@offered("readonly", *WRITING)
def test_a_test_begins_with_the_template(manager, level, kind):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        assert client.names() == SEEDED
        client.give_back()


@offered(*WRITING)
def test_what_is_written_is_seen_by_the_writer_until_it_rolls_back(manager, level, kind):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        assert client.write_only("mine") == ["seeded", "mine"]
        assert client.names() == SEEDED
        client.give_back()


@offered(*COMMITTING)
def test_what_is_committed_is_seen_by_others(manager, rows_for_others, level, kind):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        client.write("mine")
        assert client.names() == rows_for_others(database) == ["seeded", "mine"]
        client.give_back()


@offered("rollback")
def test_what_a_rollback_test_commits_is_seen_by_itself_alone(
    manager, rows_for_others, level, kind
):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        client.write("mine")
        assert client.names() == ["seeded", "mine"]
        assert rows_for_others(database) == SEEDED
        client.give_back()


@offered(*WRITING)
def test_the_next_test_begins_with_the_template_again(manager, rows_for_others, level, kind):
    for _ in range(2):
        with manager.lease(isolation=level) as database:
            client = kind(database)
            assert client.names() == SEEDED
            client.write("mine")
            client.give_back()
    with manager.lease(isolation=level) as database:
        assert rows_for_others(database) == SEEDED
        moved = "SELECT last_value FROM item_id_seq"
        assert database.connect().execute(moved).fetchone() == (1,)


@offered("readonly")
def test_a_readonly_database_refuses_writes(manager, level, kind):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        with pytest.raises(Exception, match="read-only transaction"):
            client.write("mine")
        assert client.names() == SEEDED
        client.give_back()


@offered(*WRITING)
def test_nothing_is_left_open_when_it_was_given_back(manager, sessions_in, level, kind):
    with manager.lease(isolation=level) as database:
        # Engines of other tests, and the one session of a rollback test.
        before = sessions_in(database)
        client = kind(database)
        client.write("mine")
        client.give_back()
        # A session takes a moment to leave after its client has.
        limit = Deadline(10.0)
        while not sessions_in(database) <= before:
            assert not limit.expired


@pytest.mark.parametrize("level, kind", list(everything(*WRITING, kinds=OF_OURS)))
def test_what_is_forgotten_ends_with_the_lease(manager, rows_for_others, level, kind):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        client.write("mine")
    client.end_loop()
    with manager.lease(isolation=level) as database:
        assert rows_for_others(database) == SEEDED
        again = kind(database)
        assert again.names() == SEEDED
        again.give_back()


@offered("server")
def test_a_server_of_its_own_is_used_and_left_clean(manager, rows_for_others, level, kind):
    with manager.lease(isolation=level) as database:
        client = kind(database)
        assert client.names() == SEEDED
        assert client.write_only("other") == ["seeded", "other"]
        client.write("mine")
        assert client.names() == rows_for_others(database) == ["seeded", "mine"]
        client.give_back()


@pytest.mark.parametrize("kind", REFUSED_AT_ROLLBACK)
def test_what_opens_sessions_of_its_own_is_refused_at_rollback(manager, kind):
    with manager.lease(isolation="rollback") as database:
        with pytest.raises(DriverUnusable) as caught:
            kind(database)
        assert "isolation 'rollback'" in caught.value.seen
        assert any("isolation 'reset'" in line for line in caught.value.todo)


@pytest.mark.parametrize("kind", BY_ADDRESS)
def test_what_a_driver_commits_beside_a_rollback_test_is_undone(manager, rows_for_others, kind):
    with manager.lease(isolation="rollback") as database:
        client = kind(database)
        client.write("mine")
        client.give_back()
    with manager.lease(isolation="rollback") as database:
        assert rows_for_others(database) == SEEDED
