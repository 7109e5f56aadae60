import signal
import subprocess
import sys
import threading

import pytest

from freshpg.core.clock import Deadline, SystemClock
from freshpg.core.errors import CreateDatabaseRefused, FreshpgError, NotOurs
from freshpg.leases.coordination import INTENT_CLASS, NAME, TableIntents, ensure_coordination
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.grants import Extras
from freshpg.postgres.mark import Mark

NOTHING = Extras(settings=(), grants=None)


def exists(admin, name):
    return admin.value("SELECT count(*) FROM pg_database WHERE datname = %s", (name,)) == 1


@pytest.fixture
def coordination(server, admin):
    """Address of a coordination database, as on somebody else's server."""
    return ensure_coordination(server)


@pytest.fixture
def inside(coordination):
    with Admin.connect(coordination) as connection:
        yield connection


@pytest.fixture
def sweeper(inside):
    return Databases(inside, intents=TableIntents(inside))


def test_many_processes_at_once_make_one_coordination_database(server, admin):
    failures = []

    def ask():
        try:
            ensure_coordination(server)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    facts = Databases(admin).find(NAME)
    assert facts.mark.kind == "coordination"


def test_a_coordination_database_is_found_again(coordination, server):
    assert ensure_coordination(server) == coordination


def test_a_foreign_database_of_that_name_is_refused_and_stays(server, admin):
    admin.execute(f"CREATE DATABASE {NAME}")
    with Admin.connect(server.with_(dbname=NAME)) as inside:
        inside.execute("CREATE TABLE precious (id int)")
    with pytest.raises(NotOurs, match="holds 1 objects"):
        ensure_coordination(server, deadline=0)
    with Admin.connect(server.with_(dbname=NAME)) as inside:
        assert inside.value("SELECT to_regclass('freshpg.intents')") is None


def test_one_whose_maker_was_killed_before_the_mark_is_taken_over(server, admin):
    admin.execute(f"CREATE DATABASE {NAME}")
    ensure_coordination(server, deadline=0)
    assert Databases(admin).find(NAME).mark.kind == "coordination"


def test_without_the_right_to_create_databases_it_says_which_right_is_missing(server, admin):
    with pytest.raises(CreateDatabaseRefused, match="CREATEDB"):
        ensure_coordination(server.with_(user="postgres"))
    assert not exists(admin, NAME)


class Clock(SystemClock):
    """Time that passes by sleeping alone."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_a_maker_that_may_still_live_is_waited_for_half_a_minute(server, admin):
    clock = Clock()
    admin.execute(f"CREATE DATABASE {NAME}")
    ensure_coordination(server, clock=clock)
    assert clock.slept[0] < 0.007
    assert 0.19 < max(clock.slept) < 0.31
    assert clock.now == pytest.approx(30.0)


def test_a_database_of_freshpgs_with_another_purpose_is_not_taken_for_it(server, admin):
    databases = Databases(admin)
    databases.create(NAME, Mark("slot", "main"), owner="postgres", template="template0")
    with Admin.connect(server.with_(dbname=NAME)) as inside:
        inside.execute("CREATE TABLE precious (id int)")
    with pytest.raises(NotOurs, match="holds 1 objects"):
        ensure_coordination(server, deadline=0)
    assert databases.find(NAME).mark.kind == "slot"


def test_without_a_database_in_the_address_it_is_made_from_the_usual_one(server, admin):
    assert ensure_coordination(server.with_(dbname="")).dbname == NAME


def test_another_refusal_of_the_server_is_told_as_itself(server, admin):
    address = server.with_(params=(("options", "-c default_transaction_read_only=on"),))
    with pytest.raises(FreshpgError, match="read-only transaction"):
        ensure_coordination(address)


def test_what_can_be_neither_found_nor_made_is_an_error_at_the_deadline(server, admin, monkeypatch):
    admin.execute(f"CREATE DATABASE {NAME}")
    monkeypatch.setattr(Databases, "find", lambda *_: None)
    with pytest.raises(FreshpgError, match="already exists"):
        ensure_coordination(server, deadline=0.1)


def test_two_that_make_its_table_at_once_wait_for_each_other(server, admin, coordination):
    failures = []

    def ask():
        try:
            ensure_coordination(server)
        except FreshpgError as error:
            failures.append(error)

    with Admin.connect(coordination) as other:
        other.execute("DROP SCHEMA freshpg CASCADE")
        other.execute(f"SELECT pg_advisory_lock({INTENT_CLASS}, 0)")
        thread = threading.Thread(target=ask)
        thread.start()
        end = Deadline(10.0)
        while not other.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not end.expired
        other.execute("SELECT pg_advisory_unlock_all()")
        thread.join(10.0)
        assert failures == []
        assert other.value("SELECT to_regclass('freshpg.intents')")


@pytest.fixture
def role(server, admin):
    """Make roles that are gone after the databases are."""
    made = []

    def make(name, rights="LOGIN"):
        made.append(name)
        admin.execute(f"CREATE ROLE {name} {rights}")
        return server.with_(user=name)

    yield make
    _drop_if_there(server)
    with Admin.connect(server) as cleaner:
        for name in reversed(made):
            cleaner.execute(f"DROP ROLE {name}")


def _drop_if_there(server):
    with Admin.connect(server) as cleaner:
        cleaner.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def test_one_that_another_role_made_is_refused_unless_it_shares_its_rights(role, admin):
    maker, stranger = role("maker", "LOGIN CREATEDB"), role("stranger")
    ensure_coordination(maker)
    with pytest.raises(
        CreateDatabaseRefused, match="role maker made it, and role stranger"
    ) as said:
        ensure_coordination(stranger)
    assert said.value.data["owner"] == "maker"
    admin.execute("GRANT maker TO stranger")
    assert ensure_coordination(stranger).user == "stranger"


def test_an_intent_stands_only_while_a_database_is_made(sweeper, admin):
    mark = Mark("slot", "main", facts={"base": "shop_test"})
    sweeper.clone(
        "shop_test",
        mark,
        owner="postgres",
        template="template1",
        strategy="file_copy",
        extras=NOTHING,
    )
    assert sweeper.intents.pending() == []
    assert sweeper.find("shop_test").mark.kind == "slot"
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    assert sweeper.admin.value(locks) == 0


def test_an_intent_announced_again_in_one_session_is_one(sweeper):
    intents = sweeper.intents
    intents.open("shop_test", 4_000_000_001)
    intents.open("shop_test", 4_000_000_002)
    intents.open("shop_test_2")
    assert intents.with_oids() == {"shop_test": 4_000_000_002, "shop_test_2": None}
    intents.close("shop_test")
    assert intents.pending() == ["shop_test_2"]
    assert locks_of_intents(sweeper) == 1
    intents.close("shop_test_2")
    assert locks_of_intents(sweeper) == 0
    intents.open("shop_test_2")
    assert locks_of_intents(sweeper) == 1
    intents.close("shop_test_2")


def test_striking_out_what_a_dead_maker_announced_is_no_warning_in_the_servers_log(left, sweeper):
    told = []
    sweeper.admin.connection.add_notice_handler(told.append)
    sweeper.intents.close(left)
    assert (sweeper.intents.pending(), told) == ([], [])


def test_a_database_whose_maker_died_before_the_mark_is_swept(coordination, sweeper, admin):
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test", 4_000_000_001)
        maker.execute("CREATE DATABASE shop_test OID 4000000001")
        assert sweep_databases(sweeper) == []
    swept = swept_in_time(sweeper)
    assert [(found.name, found.done) for found in swept] == [("shop_test", True)]
    assert not exists(admin, "shop_test")
    assert sweeper.intents.pending() == []


def swept_in_time(sweeper, **options):
    end = Deadline(10.0)
    while not end.expired:
        swept = sweep_databases(sweeper, **options)
        if swept or not sweeper.intents.pending():
            return swept
    return []


def test_a_database_somebody_else_made_under_an_announced_name_survives(
    coordination, sweeper, admin
):
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test", 4_000_000_001)
    admin.execute("CREATE DATABASE shop_test")
    assert sweeper.intents.reclaim("shop_test") is False
    assert swept_in_time(sweeper) == []
    assert exists(admin, "shop_test")
    assert sweeper.intents.pending() == []


def test_an_intent_without_an_oid_is_left_to_the_one_who_knows_its_name(
    coordination, sweeper, admin
):
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test_building_0f1e2d3c4b5a")
    admin.execute("CREATE DATABASE shop_test_building_0f1e2d3c4b5a")
    assert sweep_databases(sweeper) == []
    assert sweeper.intents.pending() == ["shop_test_building_0f1e2d3c4b5a"]
    assert exists(admin, "shop_test_building_0f1e2d3c4b5a")


def test_an_intent_without_an_oid_announces_nothing_once_its_database_is_gone(
    coordination, sweeper
):
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test_building_0f1e2d3c4b5a")
    end = Deadline(10.0)
    while locks_of_intents(sweeper):
        assert not end.expired
    assert sweep_databases(sweeper, dry_run=True) == []
    assert sweeper.intents.pending() == ["shop_test_building_0f1e2d3c4b5a"]
    assert sweep_databases(sweeper) == []
    assert sweeper.intents.pending() == []
    assert locks_of_intents(sweeper) == 0


def locks_of_intents(sweeper):
    return sweeper.admin.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")


@pytest.fixture
def left(coordination, admin):
    """What a maker left that died before the mark; nobody holds the intent's lock any more."""
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test", 4_000_000_001)
        maker.execute("CREATE DATABASE shop_test OID 4000000001 STRATEGY file_copy")
        pid = maker.pid
    end = Deadline(10.0)
    while admin.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,)):
        assert not end.expired
    return "shop_test"


def test_what_a_killed_reclaimer_left_is_reclaimed_by_the_next(left, sweeper, admin):
    Databases(admin).mark(left, Mark("scratch", blueprint=""))
    (found,) = sweep_databases(sweeper, dry_run=True)
    assert (found.name, found.done) == (left, False)
    (found,) = sweep_databases(sweeper)
    assert (found.name, found.done) == (left, True)
    assert not exists(admin, left)


@pytest.mark.parametrize("mark", [Mark("slot", ""), Mark("scratch", "main")])
def test_what_its_maker_marked_is_not_reclaimed(left, sweeper, admin, mark):
    Databases(admin).mark(left, mark)
    assert sweep_databases(sweeper, dry_run=True) == []
    assert sweep_databases(sweeper) == []
    assert exists(admin, left)
    assert sweeper.intents.pending() == []


def test_what_cannot_be_reclaimed_is_told_and_stays_announced(left, inside, admin, coordination):
    admin.execute("CREATE ROLE stranger LOGIN")
    inside.execute("GRANT USAGE ON SCHEMA freshpg TO stranger")
    inside.execute("GRANT ALL ON freshpg.intents TO stranger")
    try:
        with Admin.connect(coordination.with_(user="stranger")) as theirs:
            (found,) = sweep_databases(Databases(theirs, intents=TableIntents(theirs)))
            assert locks_of_intents(Databases(inside)) == 0
        assert (found.name, found.done) == (left, False)
        assert "owner" in found.error
        assert exists(admin, left)
        assert TableIntents(inside).pending() == [left]
    finally:
        inside.execute("DROP OWNED BY stranger")
        admin.execute("DROP ROLE stranger")


def test_a_connection_that_breaks_while_it_reclaims_is_told(left, inside, admin):
    class Breaking(TableIntents):
        def reclaim(self, name):
            admin.value("SELECT pg_terminate_backend(%s, 10000)", (self.admin.pid,))
            return super().reclaim(name)

    (found,) = sweep_databases(Databases(inside, intents=Breaking(inside)))
    assert (found.name, found.done) == (left, False)
    assert "terminat" in found.error
    assert exists(admin, left)


def test_a_dry_run_names_what_a_dead_maker_left_and_leaves_it(coordination, sweeper, admin):
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test", 4_000_000_001)
        maker.execute("CREATE DATABASE shop_test OID 4000000001")
    (found,) = swept_in_time(sweeper, dry_run=True)
    assert (found.name, found.done) == ("shop_test", False)
    assert exists(admin, "shop_test")


def test_the_next_maker_of_a_name_removes_what_the_killed_one_left(coordination, sweeper, admin):
    with Admin.connect(coordination) as maker:
        TableIntents(maker).open("shop_test", 4_000_000_001)
        maker.execute("CREATE DATABASE shop_test OID 4000000001")
    mark = Mark("slot", "main", facts={"base": "shop_test"})
    sweeper.clone(
        "shop_test",
        mark,
        owner="postgres",
        template="template1",
        strategy="file_copy",
        extras=NOTHING,
    )
    facts = sweeper.find("shop_test")
    assert facts.mark.kind == "slot"
    assert facts.oid != 4_000_000_001


MAKER = """
import sys
from freshpg.core.conninfo import Conninfo
from freshpg.leases.coordination import TableIntents
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.grants import Extras
from freshpg.postgres.mark import Mark
admin = Admin.connect(Conninfo.parse(sys.argv[1]), application_name="doomed maker")
Databases(admin, intents=TableIntents(admin)).clone(
    "shop_test", Mark("slot", "main", facts={"base": "shop_test"}), owner="postgres", template="template1",
    strategy="file_copy", extras=Extras((), None))
"""


def test_a_maker_killed_in_the_middle_of_create_database_leaves_nothing(
    server, coordination, sweeper, admin
):
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doomed maker'"
        " AND wait_event_type = 'Lock' AND query LIKE 'CREATE DATABASE%%'"
    )
    with Admin.connect(server) as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE pg_catalog.pg_database IN SHARE MODE")
        process = subprocess.Popen([sys.executable, "-c", MAKER, coordination.url()])
        end = Deadline(20.0)
        while not admin.value(waiting):
            assert not end.expired
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        # The server goes on with the statement of a client that is gone, so its intent is still held.
        assert sweep_databases(sweeper, dry_run=True) == []
        blocker.execute("ROLLBACK")
    assert [found.name for found in swept_in_time(sweeper)] == ["shop_test"]
    assert not exists(admin, "shop_test")
