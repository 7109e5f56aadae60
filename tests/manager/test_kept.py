"""Databases kept for inspection: found again, bounded, and on a server that stays up for them."""

from __future__ import annotations

import errno
import fcntl

import psycopg
import pytest

from freshpg.core.errors import DiskFull
from freshpg.kept import KeptList
from freshpg.servers.keeper.client import Keeper
from freshpg.servers.storage import keeper_root, runtime_roots


@pytest.fixture(autouse=True)
def end_kept_servers(private_places):
    yield
    keeper = Keeper.find(keeper_root(), roots=runtime_roots())
    if keeper is not None:
        with keeper:
            keeper.stop_all(force=True)


def keep_one(manager, text):
    with manager.lease(test=f"test_{text}") as database:
        with database.connect() as connection:
            connection.execute("INSERT INTO customer (name) VALUES (%s)", (text,))
        return database.keep("it failed")


def names_in(kept):
    with psycopg.connect(
        host=kept.host, port=kept.port, user=kept.user, dbname=kept.name
    ) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM customer ORDER BY id")]


@pytest.mark.parametrize("level", ["reset", "clone", "server"])
def test_a_kept_database_outlives_the_run_with_what_the_test_left(make_manager, level):
    manager = make_manager(isolation=level)
    name = keep_one(manager, "Grace")
    manager.stop()
    kept = KeptList(manager.state_directory).find(name)
    assert kept is not None
    assert (kept.name, kept.test, kept.why) == ("shop_test_failed_1", "test_Grace", "it failed")
    assert names_in(kept) == ["Ada", "Grace"]


def test_the_oldest_kept_database_gives_up_its_place(make_manager):
    manager = make_manager(keep=2)
    kept = [keep_one(manager, text) for text in ("one", "two", "three")]
    assert kept == ["shop_test_failed_1", "shop_test_failed_2", "shop_test_failed_1"]
    found = {entry.name: names_in(entry) for entry in KeptList(manager.state_directory).all()}
    assert found == {"shop_test_failed_1": ["Ada", "three"], "shop_test_failed_2": ["Ada", "two"]}


def test_the_next_lease_is_clean_after_one_was_kept(manager):
    keep_one(manager, "Grace")
    with manager.lease() as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)


def test_what_a_killed_writer_of_the_list_left_goes_at_the_next_start(make_manager):
    manager = make_manager()
    name = keep_one(manager, "Grace")
    manager.stop()
    draft = manager.state_directory / "kept.tmp"
    draft.write_text("[{")
    make_manager().start()
    assert not draft.exists()
    assert KeptList(manager.state_directory).find(name)


def test_a_draft_of_the_list_whose_writer_is_at_work_stays(make_manager):
    manager = make_manager()
    keep_one(manager, "Grace")
    draft = manager.state_directory / "kept.tmp"
    draft.write_text("[{")
    with (manager.state_directory / "kept.lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_manager().start()
        assert draft.exists()


@pytest.mark.parametrize(
    "came, told",
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_whatever_keeps_a_database_from_being_kept_its_name_is_free_again(
    manager, monkeypatch, came, told
):
    def interrupted(*_args, **_named):
        raise came

    monkeypatch.setattr("freshpg.isolation.acts.keep", interrupted)
    with pytest.raises(told):
        keep_one(manager, "Grace")
    assert KeptList(manager.state_directory).all() == []
