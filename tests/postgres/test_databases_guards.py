"""What acts on databases ask first, and what they do when somebody comes in between."""

import logging
from contextlib import closing

import psycopg
import pytest

from freshpg.core.clock import SystemClock
from freshpg.core.errors import CreateDatabaseRefused, DatabaseBusy, DatabaseGone, NotOurs
from freshpg.core.names import doomed_name
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases, _random_oid
from freshpg.postgres.grants import Extras
from freshpg.postgres.mark import Mark

MARK = Mark("slot", "main")
NOTHING = Extras((), None)


class Clock(SystemClock):
    """Time that passes by sleeping alone."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 1e-6)


class Noted:
    def __init__(self):
        self.names = []

    def open(self, name, oid=None):
        self.names.append(name)

    def close(self, name):
        self.names.remove(name)


@pytest.fixture
def databases(admin):
    return Databases(admin)


@pytest.fixture
def shop(databases):
    databases.create("shop_test", MARK, owner="postgres", template="template0")
    return "shop_test"


@pytest.fixture
def theirs(admin):
    admin.execute("CREATE DATABASE theirs STRATEGY file_copy")
    return "theirs"


@pytest.fixture
def enter(admin):
    opened = []

    def enter_one(name):
        address = admin.conninfo.with_(dbname=name)
        opened.append(psycopg.connect(**address.keywords(), autocommit=True))
        return opened[-1]

    yield enter_one
    for one in opened:
        one.close()


def prepare(enter, name):
    """Leave a prepared transaction in a database, and return once nobody else is in it."""
    with closing(enter(name)) as one:
        one.execute("BEGIN")
        one.execute("CREATE TABLE t (id int)")
        one.execute("PREPARE TRANSACTION 'left'")


# Making


def test_a_new_database_has_the_number_that_was_returned(databases, shop):
    oid = databases.create("shop_test_2", MARK, owner="postgres", template="template0")
    assert databases.find("shop_test_2").oid == oid
    oid = databases.clone(
        "shop_test_3", MARK, owner="postgres", template=shop, strategy="file_copy", extras=NOTHING
    )
    assert databases.find("shop_test_3").oid == oid


def test_a_clone_has_another_name_until_it_is_marked(databases, shop):
    called = {}

    def first(oid):
        called["making"] = oid
        return "shop_in_the_making"

    intents = databases.intents = Noted()
    extras = Extras((("", "work_mem", "5MB"),), None)
    oid = databases.clone(
        "shop_test_2", MARK, owner="postgres", template=shop, strategy="file_copy", extras=extras,
        first=first,
    )  # fmt: skip
    facts = databases.find("shop_test_2")
    assert (facts.oid, facts.mark.kind, called["making"]) == (oid, "slot", oid)
    assert databases.find("shop_in_the_making") is None
    asked = "SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = %s"
    assert databases.admin.value(asked, (oid,)) == ["work_mem=5MB"]
    assert intents.names == []


def test_settings_come_from_the_database_that_it_is_to_be_like(admin, databases, shop):
    admin.execute("ALTER DATABASE shop_test SET work_mem = '5MB'")
    asked = (
        "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
        " WHERE datname = 'shop_test_2'"
    )
    databases.create("shop_test_2", MARK, owner="postgres", template="template0", like=shop)
    assert admin.value(asked) == ["work_mem=5MB"]
    databases.drop("shop_test_2")
    databases.create("shop_test_2", MARK, owner="postgres", template=shop, like="template0")
    assert admin.value(asked) is None


@pytest.mark.parametrize("how", ["create", "clone"])
def test_what_somebody_else_made_a_moment_before_is_theirs_and_no_intent_stands_for_it(
    admin, theirs, monkeypatch, how
):
    databases = Databases(admin, intents=Noted())
    with monkeypatch.context() as patch:
        patch.setattr(Databases, "find", lambda *_: None)
        options = {"owner": "postgres", "template": "template0"}
        if how == "clone":
            options |= {"strategy": "file_copy", "extras": NOTHING}
        with pytest.raises(NotOurs, match="exists already"):
            getattr(databases, how)(theirs, MARK, **options)
    assert databases.intents.names == []
    assert databases.find(theirs).mark is None


def test_a_role_that_may_not_make_databases_is_told_so_with_the_servers_words(server, shop):
    with (
        Admin.connect(server.with_(user="postgres")) as plain,
        pytest.raises(CreateDatabaseRefused, match="permission denied") as said,
    ):
        Databases(plain).create("shop_test_2", MARK, owner="postgres", template="template0")
    assert said.value.data["sqlstate"] == "42501"


def test_the_highest_number_is_the_last_that_there_is(monkeypatch):
    monkeypatch.setattr("secrets.randbelow", lambda below: below - 1)
    assert _random_oid() == 2**32 - 1
    monkeypatch.setattr("secrets.randbelow", lambda _: 0)
    assert _random_oid() == 16384


# Whose it is


def test_another_one_of_that_name_is_not_removed(databases, shop):
    oid = databases.find(shop).oid
    with pytest.raises(NotOurs, match=f"number {oid + 1}, which is gone"):
        databases.drop(shop, oid=oid + 1)
    with pytest.raises(NotOurs):
        databases.find_ours(shop, oid + 1)
    assert databases.find_ours(shop, oid).name == shop
    assert databases.drop(shop, oid=oid)


def test_on_a_server_of_our_own_all_but_postgresqls_databases_are_ours(admin, theirs):
    own = Databases(admin, own=True)
    for name in ("postgres", "template0", "template1"):
        with pytest.raises(NotOurs):
            own.drop(name)
    # Its number is no matter either: nobody else makes databases there.
    assert own.drop(theirs, oid=16384)


@pytest.mark.parametrize("act", ["rename", "seal", "unseal"])
def test_what_is_gone_or_not_ours_is_not_changed(databases, theirs, act):
    words = ["elsewhere"] if act == "rename" else []
    with pytest.raises(DatabaseGone, match="not_here"):
        getattr(databases, act)("not_here", *words)
    before = databases.find(theirs)
    with pytest.raises(NotOurs):
        getattr(databases, act)(theirs, *words)
    assert databases.find(theirs) == before


def test_a_sealed_database_lets_nobody_in_until_it_is_unsealed(databases, shop, enter):
    databases.seal(shop)
    facts = databases.find(shop)
    assert (facts.is_template, facts.allows_connections) == (True, False)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        enter(shop)
    databases.unseal(shop)
    assert not databases.find(shop).is_template
    assert enter(shop).execute("SELECT 1").fetchone() == (1,)


# Who is in it


def test_who_was_in_a_database_is_returned_and_nobody_shows_any_more(databases, shop, enter):
    assert databases.sessions("not_here") == databases.clear_holders("not_here") == []
    # A session of ours that rolls back must be gone too, which it is or is not by chance.
    for _ in range(5):
        prepare(enter, shop)
        pid = enter(shop).info.backend_pid
        assert pid in [session.pid for session in databases.sessions(shop)]
        assert pid in [session.pid for session in databases.clear_holders(shop)]
        assert databases.sessions(shop) == []


def test_sessions_of_a_database_that_is_not_ours_are_ended_only_while_it_is_made(
    databases, theirs, enter
):
    inside = enter(theirs)
    with pytest.raises(NotOurs):
        databases.clear_holders(theirs)
    assert inside.execute("SELECT 1").fetchone() == (1,)
    databases.clear_holders(theirs, in_the_making=True)
    with pytest.raises(psycopg.OperationalError):
        inside.execute("SELECT 1")


@pytest.mark.parametrize("act", ["drop", "clear_holders"])
def test_who_may_not_be_ended_is_waited_for_ten_seconds(server, shop, enter, act):
    clock = Clock()
    inside = enter(shop)
    with (
        Admin.connect(server.with_(user="postgres")) as plain,
        pytest.raises(DatabaseBusy, match=f"pid {inside.info.backend_pid} "),
    ):
        getattr(Databases(plain, clock=clock), act)(shop)
    assert clock.now == pytest.approx(10.0, abs=0.01)


def test_an_open_change_of_the_database_itself_does_not_hold_up_its_removal(databases, shop, enter):
    inside = enter(shop)
    inside.execute("BEGIN")
    inside.execute("ALTER DATABASE shop_test CONNECTION LIMIT 50")
    assert databases.drop(shop)


class Meanwhile(Databases):
    """Something is done just before the database gets the name under which it is dropped, or before its door is closed."""

    before_doom = before_closing = staticmethod(lambda: None)

    def _doom(self, facts, limit):
        self.before_doom()
        return super()._doom(facts, limit)

    def _alter(self, facts, options):
        if options == "ALLOW_CONNECTIONS false":
            self.before_closing()
        super()._alter(facts, options)


def test_nobody_comes_in_any_more_before_it_is_dropped(admin, shop, enter):
    databases = Meanwhile(admin)
    refused = []

    def come_in():
        with pytest.raises(psycopg.OperationalError, match="not currently accepting") as caught:
            enter(shop)
        refused.append(caught.value)

    databases.before_doom = come_in
    enter(shop)
    assert databases.drop(shop)
    assert len(refused) == 1


def test_who_comes_in_before_the_door_is_closed_is_ended_too(admin, shop, enter, caplog):
    databases = Meanwhile(admin)
    databases.before_closing = lambda: enter(shop)
    enter(shop)
    with caplog.at_level(logging.DEBUG, "freshpg"):
        assert databases.drop(shop)
    assert "refused" not in caplog.text


@pytest.mark.slow
def test_who_comes_in_after_the_look_is_ended_and_the_removal_tried_again(
    admin, shop, enter, monkeypatch, caplog
):
    # PostgreSQL itself waits 5 s before it refuses.
    facts = Databases(admin).find(shop)
    monkeypatch.setattr(Databases, "find_and_ask_if_held", lambda *_, **__: (facts, False))
    enter(shop)
    with caplog.at_level(logging.DEBUG, "freshpg"):
        assert Databases(admin).drop(shop)
    assert "was refused and is tried again" in caplog.text


def test_a_removal_killed_after_the_renaming_is_finished_under_that_name(databases, shop):
    oid = databases.find(shop).oid
    databases.rename(shop, doomed_name(oid))
    assert databases.drop(doomed_name(oid))
    assert databases.all_marked() == []
