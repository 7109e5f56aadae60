from contextlib import closing

import psycopg
import pytest

from freshpg.core.errors import CreateDatabaseRefused, DatabaseBusy, DatabaseGone, NotOurs
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import FIRST_OID, Databases, _random_oid
from freshpg.postgres.grants import Extras
from freshpg.postgres.mark import Mark

MARK = Mark("slot", "main")


@pytest.fixture
def databases(admin):
    return Databases(admin)


@pytest.fixture
def shop(databases):
    databases.create("shop_test", MARK, owner="postgres", template="template0")
    return "shop_test"


def enter(admin, name, **keywords):
    # Not the connection's own context: it commits at the end, which an ended session cannot.
    address = admin.conninfo.with_(dbname=name, **keywords)
    return closing(psycopg.connect(**address.keywords(), autocommit=True))


def test_a_new_database_is_marked_and_belongs_to_the_test_role(databases, shop):
    facts = databases.find(shop)
    assert (facts.mark.kind, facts.owner, facts.allows_connections) == ("slot", "postgres", True)
    assert [one.name for one in databases.all_marked()] == [shop]


def test_everybody_may_use_temporary_tables_in_a_new_database_as_ever(admin, shop):
    assert admin.value("SELECT datacl FROM pg_database WHERE datname = %s", (shop,)) is None


def test_an_existing_database_is_never_created_over(admin, databases):
    admin.execute("CREATE DATABASE theirs")
    with pytest.raises(NotOurs, match="theirs"):
        databases.create("theirs", MARK, owner="postgres", template="template0")
    assert databases.find("theirs").mark is None


def test_a_database_without_our_mark_is_never_dropped(admin, databases):
    admin.execute("CREATE DATABASE theirs")
    with pytest.raises(NotOurs, match="theirs"):
        databases.drop("theirs")
    assert databases.find("theirs")


def test_a_comment_copied_to_another_database_is_no_mark(admin, databases, shop):
    comment = admin.value(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (shop,)
    )
    admin.execute("CREATE DATABASE theirs")
    admin.execute(f"COMMENT ON DATABASE theirs IS '{comment}'")
    with pytest.raises(NotOurs):
        databases.drop("theirs")


def test_dropping_what_is_not_there_says_so(databases):
    assert databases.drop("shop_test") is False


def test_dropping_ends_sessions_open_transactions_and_prepared_ones(admin, databases, shop):
    with enter(admin, shop) as one:
        one.execute("CREATE TABLE t (id int)")
        one.execute("BEGIN")
        one.execute("INSERT INTO t VALUES (1)")
        one.execute("PREPARE TRANSACTION 'left'")
        one.execute("BEGIN")
        one.execute("LOCK TABLE t IN ROW SHARE MODE")
        assert databases.drop(shop) is True
    assert databases.find(shop) is None
    assert admin.rows("SELECT FROM pg_prepared_xacts") == []


def test_a_prepared_transaction_behind_a_closed_door_is_no_obstacle(admin, databases, shop):
    with enter(admin, shop) as one:
        one.execute("BEGIN")
        one.execute("CREATE TABLE t (id int)")
        one.execute("PREPARE TRANSACTION 'left'")
    databases.seal(shop)
    assert databases.drop(shop) is True
    assert admin.rows("SELECT FROM pg_prepared_xacts") == []


def test_a_prepared_transaction_alone_is_ended_too(admin, databases, shop):
    with enter(admin, shop) as one:
        one.execute("BEGIN")
        one.execute("CREATE TABLE t (id int)")
        one.execute("PREPARE TRANSACTION 'left'")
    databases.clear_holders(shop)
    assert admin.rows("SELECT FROM pg_prepared_xacts") == []


def test_a_sealed_template_is_dropped_too(admin, databases, shop):
    databases.seal(shop)
    assert databases.drop(shop) is True


def test_a_database_whose_drop_was_interrupted_is_finished_off(admin, databases, shop):
    # What DROP DATABASE leaves when it is interrupted: datconnlimit = -2.
    admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", (shop,))
    assert databases.drop(shop) is True


def test_sessions_of_other_databases_are_left_alone(admin, databases, shop, server):
    with Admin.connect(server) as bystander, enter(admin, shop):
        databases.clear_holders(shop)
        assert bystander.value("SELECT 1") == 1


def test_sessions_that_may_not_be_ended_are_named_at_the_deadline(server, shop):
    with (
        enter_as_plain(server) as plain,
        psycopg.connect(**server.with_(dbname=shop).keywords()) as held,
    ):
        with pytest.raises(DatabaseBusy, match=f"pid {held.info.backend_pid} "):
            Databases(plain).clear_holders(shop, deadline=0.02)
        assert held.execute("SELECT 1").fetchone() == (1,)


def enter_as_plain(server):
    return Admin.connect(server.with_(user="postgres"))


def test_a_role_without_the_right_to_create_databases_is_told_how_to_get_it(server):
    with enter_as_plain(server) as plain, pytest.raises(CreateDatabaseRefused, match="CREATEDB"):
        Databases(plain).create("shop_test", MARK, owner="postgres", template="template0")


def test_a_template_somebody_is_connected_to_is_named_with_its_sessions(admin, databases, shop):
    # PostgreSQL itself waits 5 s before it refuses.
    with (
        enter(admin, shop) as held,
        pytest.raises(DatabaseBusy, match=f"pid {held.info.backend_pid} "),
    ):
        databases.create("shop_test_2", MARK, owner="postgres", template=shop)
    assert databases.find("shop_test_2") is None


def test_settings_of_a_database_are_repeated_exactly(admin, databases, shop):
    admin.execute("""ALTER DATABASE shop_test SET search_path = "Odd, name", '$user', public""")
    admin.execute("ALTER DATABASE shop_test SET app.greeting = 'it''s, \"fine\"'")
    admin.execute("ALTER DATABASE shop_test SET work_mem = '5MB'")
    admin.execute("ALTER ROLE postgres IN DATABASE shop_test SET statement_timeout = '7s'")
    databases.create("shop_test_2", MARK, owner="postgres", template=shop)
    asked = (
        "SELECT r.setrole, x FROM pg_db_role_setting r JOIN pg_database d ON d.oid = setdatabase,"
        " unnest(setconfig) x WHERE datname = %s ORDER BY 1, 2"
    )
    assert admin.rows(asked, ("shop_test_2",)) == admin.rows(asked, (shop,))
    assert len(admin.rows(asked, (shop,))) == 4


def test_an_empty_search_path_stays_empty(admin, databases, shop):
    admin.execute("ALTER DATABASE shop_test SET search_path = ''")
    databases.create("shop_test_2", MARK, owner="postgres", template=shop)
    with enter(admin, "shop_test_2") as inside:
        assert inside.execute("SHOW search_path").fetchone() == ('""',)


def test_grants_on_a_database_are_repeated_exactly(admin, databases, shop):
    admin.execute("REVOKE ALL ON DATABASE shop_test FROM PUBLIC")
    admin.execute("GRANT CONNECT ON DATABASE shop_test TO pg_monitor WITH GRANT OPTION")
    admin.execute("GRANT CREATE ON DATABASE shop_test TO pg_monitor")
    databases.create("shop_test_2", MARK, owner="postgres", template=shop)
    asked = "SELECT datacl::text FROM pg_database WHERE datname = %s"
    assert admin.value(asked, ("shop_test_2",)) == admin.value(asked, (shop,))


def test_marking_what_is_not_there_is_an_error(databases):
    with pytest.raises(DatabaseGone):
        databases.mark("shop_test", MARK)


class Journal:
    def __init__(self):
        self.lines = []

    def open(self, name, oid=None):
        self.lines.append(("open", name))

    def close(self, name):
        self.lines.append(("close", name))

    def pending(self):
        return ()


def test_an_intent_frames_the_making_of_a_database(admin):
    journal = Journal()
    Databases(admin, intents=journal).create(
        "shop_test", MARK, owner="postgres", template="template0"
    )
    assert journal.lines == [("open", "shop_test"), ("close", "shop_test")]


def test_an_intent_is_never_written_for_somebody_elses_database(admin):
    admin.execute("CREATE DATABASE theirs")
    journal = Journal()
    with pytest.raises(NotOurs):
        Databases(admin, intents=journal).create(
            "theirs", MARK, owner="postgres", template="template0"
        )
    assert journal.lines == []


def test_an_intent_is_struck_out_when_the_server_refused(admin):
    journal = Journal()
    with pytest.raises(Exception, match="no_such_template"):
        Databases(admin, intents=journal).create(
            "shop_test", MARK, owner="postgres", template="no_such_template"
        )
    assert journal.lines[-1] == ("close", "shop_test")


def test_databases_are_found_by_names_and_by_the_beginning_of_one(admin, databases, shop):
    admin.execute("CREATE DATABASE shop_theirs STRATEGY file_copy")
    assert [one.name for one in databases.find_all([shop, "nothing"])] == [shop]
    found = {one.name: one.mark is not None for one in databases.find_starting("shop_")}
    assert found == {shop: True, "shop_theirs": False}
    # No pattern: an underline is an underline.
    assert databases.find_starting("shop%") == databases.find_starting("shopx") == []


def test_who_holds_a_database_is_asked_of_it_alone(admin, databases, shop):
    admin.execute("CREATE DATABASE another STRATEGY file_copy")

    def held():
        facts, answer = databases.find_and_ask_if_held(shop)
        assert (facts.name, facts.owner, facts.mark.kind) == (shop, "postgres", "slot")
        return answer

    with enter(admin, "another") as other:
        other.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'elsewhere'")
        assert not held()
    with enter(admin, shop) as inside:
        assert held()
        inside.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'here'")
        pid = inside.info.backend_pid
    admin.rows("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    # Nobody is in it, and it could not be dropped.
    assert held()
    assert databases.drop(shop)


class Noted:
    def __init__(self):
        self.names = []

    def open(self, name, oid=None):
        self.names.append(name)

    def close(self, name):
        self.names.remove(name)


@pytest.mark.parametrize("state, stands", [("42501", False), (None, True)])
@pytest.mark.parametrize("how", ["create", "clone"])
def test_an_intent_stands_unless_the_server_itself_refused(admin, monkeypatch, state, stands, how):
    databases = Databases(admin, intents=Noted())

    def refuse(*_, **__):
        raise DatabaseBusy("refused", **({"sqlstate": state} if state else {}))

    monkeypatch.setattr(Databases, "_create", refuse)
    options = {"owner": "postgres", "template": "template0"}
    if how == "clone":
        options |= {"strategy": "file_copy", "extras": Extras((), None)}
    with pytest.raises(DatabaseBusy):
        getattr(databases, how)("shop_test", MARK, **options)
    assert databases.intents.names == (["shop_test"] if stands else [])


def test_numbers_of_our_own_are_never_those_of_the_server():
    # FirstNormalObjectId, src/include/access/transam.h
    assert FIRST_OID == 16384
    assert all(FIRST_OID <= _random_oid() < 2**32 for _ in range(100))


def test_what_another_role_made_is_refused_with_both_names(admin, databases, shop):
    admin.execute("CREATE ROLE maker LOGIN CREATEDB")
    try:
        with (
            Admin.connect(admin.conninfo.with_(user="maker")) as theirs,
            pytest.raises(NotOurs, match="made it for role postgres, and now connects as maker"),
        ):
            Databases(theirs).drop(shop)
        assert databases.find(shop)
    finally:
        admin.execute("DROP ROLE maker")


def test_a_removal_that_fails_in_another_way_is_told_as_itself(databases, shop, monkeypatch):
    def fail(*_, **__):
        raise DatabaseBusy("something else", sqlstate="55006")

    monkeypatch.setattr(Databases, "_drop", fail)
    with pytest.raises(DatabaseBusy, match="something else"):
        databases.drop(shop)


def test_only_on_servers_of_others_a_name_is_asked_whose_it_is(admin, databases, shop):
    Databases(admin, own=True).act(shop, ["SELECT 1"], {shop: 4_000_000_000})
    with pytest.raises(NotOurs):
        databases.act(shop, ["SELECT 1"], {shop: 4_000_000_000})


def test_marking_returns_the_number_of_what_was_marked(databases, shop):
    assert databases.mark(shop, MARK) == databases.find(shop).oid
