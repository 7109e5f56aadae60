"""What every level promises, asked of every level."""

import psycopg
import pytest

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import NotOurs, UsageInvalid
from freshpg.isolation.audit.watch import Watch
from freshpg.isolation.clone import CloneIsolation
from freshpg.isolation.readonly import ReadonlyIsolation
from freshpg.isolation.reset import ResetIsolation
from freshpg.isolation.server import ServerIsolation

LEVELS = ["readonly", "reset", "clone", "server"]
WRITING = ["reset", "clone", "server"]
REUSING = ["reset", "clone"]


@pytest.fixture
def new_level(server, connect, new_stock):
    """Make a level on a stock of its own."""

    def make(level, *slots):
        stock = new_stock(*slots)
        stock.start()
        return level(connect, stock, Watch(stock, server, data=None, clock=SYSTEM_CLOCK))

    return make


@pytest.fixture
def isolation(request, connect, source, lease, new_level):
    level = request.param
    if level == "readonly":
        made = ReadonlyIsolation(connect, source, lease)
    elif level == "server":
        made = ServerIsolation(connect, source)
    else:
        made = new_level(ResetIsolation if level == "reset" else CloneIsolation)
    yield made
    made.close()


def on(*levels):
    return pytest.mark.parametrize("isolation", levels, indirect=True)


def items(connection):
    return [item for (item,) in connection.execute("SELECT item FROM cart ORDER BY id").fetchall()]


def ruin(connection):
    connection.execute("INSERT INTO cart (item) VALUES ('left behind')")
    connection.execute("ALTER TABLE cart ADD COLUMN more int")
    connection.execute("CREATE TABLE debris (id int)")


@on(*LEVELS)
def test_a_test_finds_what_the_template_has(isolation, user):
    assert items(user(isolation.enter("tests/test_x.py::test_y"))) == ["seed"]


@on(*LEVELS)
def test_a_level_knows_its_name(isolation, request):
    assert isolation.level == request.node.callspec.params["isolation"]


@on(*REUSING)
def test_nothing_a_test_did_reaches_the_next_one(isolation, user):
    for _ in range(4):
        name = isolation.enter()
        connection = user(name)
        assert items(connection) == ["seed"]
        ruin(connection)
        isolation.leave(name)


@on(*REUSING)
def test_two_tests_at_once_never_have_the_same_database(isolation):
    first, second = isolation.enter(), isolation.enter()
    assert first != second
    isolation.leave(first)
    assert isolation.enter() != second


@on(*WRITING)
def test_reset_gives_the_template_back_under_the_same_name(isolation, user):
    name = isolation.enter()
    ruin(user(name))
    residue = isolation.reset(name)
    assert (residue.database, residue.replaced) == (name, True)
    connection = user(name)
    assert items(connection) == ["seed"]
    assert connection.execute("SELECT to_regclass('debris')").fetchone() == (None,)


@on(*WRITING)
def test_reset_ends_the_sessions_of_the_old_database_and_its_prepared_transactions(
    isolation, user, admin
):
    name = isolation.enter()
    held = user(name)
    held.execute("BEGIN")
    held.execute("INSERT INTO cart (item) VALUES ('open')")
    prepared = user(name)
    prepared.execute("BEGIN")
    prepared.execute("INSERT INTO cart (item) VALUES ('prepared')")
    prepared.execute("PREPARE TRANSACTION 'left'")
    isolation.reset(name)
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    assert admin.value("SELECT count(*) FROM pg_prepared_xacts") == 0
    assert items(user(name)) == ["seed"]


@on(*WRITING)
def test_a_database_that_the_test_dropped_is_there_again_after_reset(isolation, admin, user):
    name = isolation.enter()
    admin.execute(f"DROP DATABASE {name}")
    isolation.reset(name)
    assert items(user(name)) == ["seed"]


@on(*WRITING)
def test_a_database_that_lost_our_mark_is_not_replaced(isolation, admin, user):
    name = isolation.enter()
    ruin(user(name))
    admin.execute(f"COMMENT ON DATABASE {name} IS NULL")
    with pytest.raises(NotOurs):
        isolation.reset(name)
    assert "left behind" in items(user(name))


@on(*WRITING)
def test_a_kept_database_has_all_the_test_left_and_says_why(isolation, user, databases):
    name = isolation.enter()
    user(name).execute("INSERT INTO cart (item) VALUES ('evidence')")
    kept = isolation.keep(
        name, "shop_test_failed_1", test="tests/test_x.py::test_y\0", why="it's \\ failed"
    )
    assert kept == "shop_test_failed_1"
    assert items(user(kept)) == ["seed", "evidence"]
    mark = databases.find(kept).mark
    assert (mark.kind, mark.facts["test"], mark.facts["why"]) == (
        "failed",
        "tests/test_x.py::test_y",
        "it's \\ failed",
    )


@on(*REUSING)
def test_keeping_again_under_a_name_drops_the_older_one(isolation, user, databases):
    oids = set()
    for _ in range(2):
        name = isolation.enter()
        isolation.keep(name, "shop_test_failed_1")
        oids.add(databases.find("shop_test_failed_1").oid)
    assert len(oids) == 2
    assert items(user(isolation.enter())) == ["seed"]


@on(*WRITING)
def test_keeping_never_takes_the_name_of_somebody_elses_database(isolation, admin, databases):
    admin.execute("CREATE DATABASE shop_test_failed_1")
    name = isolation.enter()
    with pytest.raises(NotOurs):
        isolation.keep(name, "shop_test_failed_1")
    assert databases.find("shop_test_failed_1").mark is None
    assert databases.find(name).mark.kind == "slot"


@on("reset")
def test_reset_keeps_one_name_over_all_tests_and_makes_no_more_databases_than_slots(
    isolation, ours, slots
):
    names = set()
    allowed = {name for slot in slots for name in (slot.name, slot.used_name)}
    for _ in range(8):
        name = isolation.enter()
        names.add(name)
        isolation.leave(name)
        assert ours() <= allowed
    assert len(names) == 1


@on("reset")
def test_while_a_database_is_replaced_its_name_always_exists(isolation, databases, user):
    name = isolation.enter()
    before = databases.find(name).oid
    ruin(user(name))
    isolation.reset(name)
    after = databases.find(name)
    assert after.oid != before
    assert after.mark.kind == "slot"


@on("reset")
def test_a_nested_reset_database_is_another_and_the_first_name_comes_back(isolation):
    outer = isolation.enter()
    inner = isolation.enter()
    isolation.leave(inner)
    isolation.leave(outer)
    assert isolation.enter() == min(outer, inner)


@pytest.mark.parametrize("level", [ResetIsolation, CloneIsolation])
def test_one_slot_alone_is_replaced_in_place(level, new_level, slots, user):
    isolation = new_level(level, slots[:1])
    for _ in range(2):
        name = isolation.enter()
        ruin(user(name))
        isolation.reset(name)
        assert items(user(name)) == ["seed"]
        isolation.leave(name)
    isolation.close()


@on("readonly")
def test_all_tests_share_one_read_only_database(isolation, user):
    first, second = isolation.enter(), isolation.enter()
    assert first == second == "shop_test_readonly"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        user(first).execute("INSERT INTO cart (item) VALUES ('no')")
    assert not isolation.leave(first).replaced


@on("readonly")
def test_what_would_disturb_the_other_readers_is_refused(isolation):
    name = isolation.enter()
    with pytest.raises(UsageInvalid, match="readonly"):
        isolation.reset(name)
    with pytest.raises(UsageInvalid, match="readonly"):
        isolation.keep(name, "shop_test_failed_1")
