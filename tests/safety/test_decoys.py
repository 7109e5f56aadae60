"""Databases that look like ours and are not: whatever freshpg does beside them, they stay as they are."""

from contextlib import ExitStack

import pytest

from freshpg.core.errors import NameInvalid, NotOurs
from freshpg.core.names import MAX_BYTES, SUFFIX_BYTES
from freshpg.leases.coordination import TableIntents
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.databases import Databases
from freshpg.status.remains import clean

LEVELS = [
    "reset",
    *(pytest.param(level, marks=pytest.mark.slow) for level in ("clone", "rollback", "readonly")),
]
NEIGHBOURS = [
    "shop_test_backup",
    "shop_test_22",
    "shop_test_used_22",
    "shop_test_failed_22",
    "shop_test_building_0",
    "Shop_Test",
    "SHOP_TEST_2",
    "shop_tes",
    "shop_test ",
    "freshpg_doomed_1",
    "freshpg",
]
LONGEST = "s" * (MAX_BYTES - SUFFIX_BYTES)


def use(manager, level):
    """Do all that makes freshpg clear, replace and drop: rows, a changed schema, a session left in the middle."""
    for statements in (
        ["INSERT INTO customer (name) VALUES ('Grace')"],
        ["DELETE FROM customer", "CREATE TABLE debris (id int)"],
        ["BEGIN", "TRUNCATE customer"],
    ):
        with manager.lease(isolation=level) as database, database.connect() as connection:
            for statement in statements if level != "readonly" else ["SELECT 1"]:
                connection.execute(statement)


@pytest.mark.parametrize("level", LEVELS)
def test_neighbours_by_name_stay_as_they_are_and_so_do_their_sessions(make_manager, there, level):
    for name in NEIGHBOURS:
        there.make(name)
    before = there.state(*NEIGHBOURS)
    with ExitStack() as stack:
        sessions = [stack.enter_context(there.enter(name)) for name in (*NEIGHBOURS, "postgres")]
        for session in sessions:
            session.execute("BEGIN")
            session.value("SELECT count(*), pg_advisory_lock(1) FROM pg_class")
        manager = make_manager()
        use(manager, level)
        manager.stop()
        # The next start sweeps.
        make_manager().start()
        assert [session.value("SELECT 1") for session in sessions] == [1] * len(sessions)
    assert there.state(*NEIGHBOURS) == before


def test_a_name_of_somebodys_that_postgresql_cut_to_ours_is_somebodys(make_manager, there):
    manager = make_manager(LONGEST)
    manager.start()
    with manager.lease():
        pass
    manager.stop()
    (template,) = (name for name in there.names() if name.startswith(f"{LONGEST}_template_"))
    assert len(template) == MAX_BYTES
    there.clear("somebody_model", *(name for name in there.names() if name != template))
    there.admin.execute(f'CREATE DATABASE "{template}_of_mine"')
    before = there.state(template)
    manager = make_manager(LONGEST)
    with pytest.raises(NotOurs, match=template), manager.lease():
        pass
    manager.stop()
    assert there.state(template) == before
    there.clear("somebody_model", *(name for name in there.names() if name != template))


def test_a_name_that_postgresql_would_cut_is_refused_before_anything_is_done(make_manager, there):
    before = there.names()
    with pytest.raises(NameInvalid, match="42 bytes"):
        make_manager(LONGEST + "s")
    assert there.names() == before


@pytest.mark.slow
def test_cleaning_by_hand_removes_nothing_of_theirs(make_manager, there):
    for name in NEIGHBOURS:
        there.make(name)
    before = there.state(*NEIGHBOURS)
    manager = make_manager()
    use(manager, "reset")
    manager.stop()
    for every_image in (False, True):
        assert not [
            one
            for one in clean(manager.settings, every_image=every_image, do_it=True)
            if one.name in NEIGHBOURS
        ]
    assert there.state(*NEIGHBOURS) == before


def test_a_removal_that_was_interrupted_is_finished_by_the_next_sweep(make_manager, there):
    manager = make_manager()
    with manager.lease(isolation="clone") as database:
        oid = there.admin.value("SELECT oid FROM pg_database WHERE datname = %s", (database.name,))
    manager.stop()
    manager = make_manager()
    database = manager.acquire("main", isolation="clone")
    oid = there.admin.value("SELECT oid FROM pg_database WHERE datname = %s", (database.name,))
    there.rename(database.name, f"freshpg_doomed_{oid}")
    there.make(f"freshpg_doomed_{oid + 1}", comment=there.comment(f"freshpg_doomed_{oid}"))
    with there.enter("freshpg_coordination") as admin:
        swept = sweep_databases(Databases(admin, intents=TableIntents(admin)))
    assert (f"freshpg_doomed_{oid}", True) in [(one.name, one.done) for one in swept]
    assert f"freshpg_doomed_{oid}" not in there.names()
    assert f"freshpg_doomed_{oid + 1}" in there.names()
