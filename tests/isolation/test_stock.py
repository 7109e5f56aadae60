import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from freshpg.core.errors import DatabaseGone, FreshpgError, NotOurs, UsageInvalid, WaitTimedOut
from freshpg.core.events import Bus, CloneMade
from freshpg.isolation.audit.baseline import read_baseline
from freshpg.isolation.fresh import FreshClones
from freshpg.leases.slots import Slot


def items(connection):
    return [item for (item,) in connection.execute("SELECT item FROM cart ORDER BY id").fetchall()]


def stock_threads():
    """Builders of this file's stocks; managers of other tests in this process have theirs."""
    ours = "freshpg clones of shop_test"
    return [thread for thread in threading.enumerate() if thread.name == ours]


def test_a_clone_that_stands_ready_is_handed_out_without_waiting(stock, wait_until):
    wait_until(lambda: stock.ready == 2)
    assert stock.take().waited == 0.0


def test_a_clone_equals_its_template_and_belongs_to_the_tests_role(stock, user, databases):
    name = stock.take().name
    connection = user(name)
    assert items(connection) == ["seed"]
    connection.execute("INSERT INTO cart (item) VALUES ('mine')")
    connection.execute("CREATE TABLE more (id int)")
    facts = databases.find(name)
    assert (facts.owner, facts.mark.kind, facts.mark.fingerprint) == ("postgres", "slot", "f1")


def test_settings_and_grants_of_the_template_are_repeated(stock, user):
    connection = user(stock.take().name)
    assert connection.execute("SHOW search_path").fetchone() == ('"$user", public, extra',)
    right = "SELECT has_database_privilege('public', current_database(), 'TEMPORARY')"
    assert connection.execute(right).fetchone() == (False,)


def test_a_used_clone_comes_back_as_new(new_stock, slots, user):
    stock = new_stock(slots[:1])
    stock.start()
    for _ in range(3):
        taken = stock.take()
        connection = user(taken.name)
        assert items(connection) == ["seed"]
        connection.execute("DELETE FROM cart")
        stock.give_back(taken.name)


def test_any_number_of_tests_makes_no_more_databases_than_there_are_slots(stock, slots, ours):
    names = set()
    for _ in range(12):
        taken = stock.take()
        names.add(taken.name)
        assert ours() <= {slot.name for slot in slots}
        stock.give_back(taken.name)
    assert names == {slot.name for slot in slots}


def test_sessions_left_open_do_not_hold_a_clone(stock, user, slots):
    for _ in range(len(slots) + 1):
        name = stock.take(10.0).name
        user(name).execute("SELECT 1")
        stock.give_back(name)


def test_a_second_builder_comes_when_a_taker_had_to_wait(stock, wait_until):
    wait_until(lambda: stock.ready == 2)
    assert len(stock_threads()) == 1
    for _ in range(3):
        stock.take()
    assert len(stock_threads()) == 2


def test_waiting_ends_at_the_deadline_and_names_who_holds_the_slots(new_stock, slots):
    stock = new_stock(slots[:1])
    stock.start()
    stock.take(holder="tests/test_cart.py::test_pay")
    with pytest.raises(WaitTimedOut) as caught:
        stock.take(0.0)
    assert caught.value.holders == ("shop_test: held by tests/test_cart.py::test_pay",)


def test_what_kept_a_builder_from_cloning_is_raised_to_the_taker_and_the_next_one_is_served(
    new_stock, databases, template
):
    stock = new_stock()
    databases.admin.execute(f"ALTER DATABASE {template} RENAME TO shop_gone")
    try:
        stock.start()
        with pytest.raises(FreshpgError) as caught:
            stock.take(20.0)
        assert caught.value.data["sqlstate"] == "3D000"
        assert isinstance(caught.value, DatabaseGone)
    finally:
        databases.admin.execute(f"ALTER DATABASE shop_gone RENAME TO {template}")
    for _ in range(2):
        # A try that was under way may have failed as well.
        try:
            assert stock.take(20.0).name
        except DatabaseGone:
            continue
        break


def test_an_unexpected_failure_of_a_builder_is_not_lost_either(new_stock, connect):
    opened = []

    def connect_once():
        if opened:
            raise RuntimeError("no more")
        opened.append(1)
        return connect()

    stock = new_stock(connect=connect_once)
    stock.start()
    with pytest.raises(RuntimeError, match="no more"):
        stock.take(20.0)


def test_a_builder_whose_connection_was_ended_takes_a_new_one(stock, databases, wait_until):
    wait_until(lambda: stock.ready == 2)
    databases.admin.rows(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'freshpg stock'"
    )
    served, failed = 0, 0
    while served < 4:
        try:
            stock.give_back(stock.take(20.0).name)
            served += 1
        except FreshpgError:
            failed += 1
    assert failed <= 1


def test_each_clone_made_is_told_with_its_seconds(new_stock, wait_until):
    events = []
    stock = new_stock(events=Bus([events.append]))
    stock.start()
    wait_until(lambda: stock.ready == 2)
    assert {event.database for event in events} == {"shop_test", "shop_test_2"}
    assert all(isinstance(event, CloneMade) and event.seconds > 0 for event in events)


def test_stopping_leaves_no_database_no_thread_and_no_session(stock, ours, databases, wait_until):
    stock.give_back(stock.take().name)
    stock.take()
    stock.stop("nothing")
    stock.stop("nothing")
    assert ours() == set()
    assert stock_threads() == []
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'freshpg stock'"
    wait_until(lambda: databases.admin.value(sessions) == 0)


def test_a_stopped_stock_says_so(stock):
    stock.stop()
    with pytest.raises(UsageInvalid, match="stopped"):
        stock.take()
    stock.give_back("shop_test")


def left_by(stock, databases, leave="ready"):
    """Stop a stock, and return what the next one would be told."""
    names = tuple(stock.stop(leave))
    return FreshClones({"shop_test": names}, read_baseline(databases.admin))


def test_untouched_clones_are_left_to_the_next_process(
    stock, new_stock, databases, ours, wait_until
):
    used = databases.find(stock.take().name).oid
    wait_until(lambda: stock.ready == 2)
    fresh = left_by(stock, databases)
    assert ours() == set(fresh.names["shop_test"]) == {"shop_test", "shop_test_2"}
    oids = {databases.find(name).oid for name in ours()}
    assert used not in oids

    after = new_stock()
    after.start(fresh=FreshClones.from_json(json.loads(json.dumps(fresh.to_json()))))
    taken = [after.take(), after.take()]
    assert [one.waited for one in taken] == [0.0, 0.0]
    assert [one.name for one in taken] == ["shop_test", "shop_test_2"]
    assert {databases.find(one.name).oid for one in taken} == oids
    assert {one.baseline for one in taken} == {fresh.baseline}


def test_one_clone_at_least_is_left_to_the_next_process(stock, databases, wait_until):
    wait_until(lambda: stock.ready == 2)
    used = [databases.find(stock.take().name).oid for _ in range(3)]
    fresh = left_by(stock, databases)
    assert fresh.names["shop_test"] == ("shop_test",)
    assert databases.find("shop_test").oid not in used


def test_a_clone_that_is_there_although_nobody_told_of_it_is_made_anew(
    stock, new_stock, databases, wait_until
):
    wait_until(lambda: stock.ready == 2)
    fresh = left_by(stock, databases)
    before = {facts.oid for facts in databases.all_marked() if facts.mark.kind == "slot"}
    after = new_stock()
    after.start(fresh=FreshClones({"shop_test": ()}, fresh.baseline))
    assert databases.find(after.take().name).oid not in before


def test_a_clone_of_a_process_that_crashed_is_never_taken_for_fresh(
    stock, new_stock, databases, wait_until
):
    wait_until(lambda: stock.ready == 2)
    before = {facts.oid for facts in databases.all_marked() if facts.mark.kind == "slot"}
    stock.stop("everything")
    after = new_stock()
    after.start()
    assert databases.find(after.take().name).oid not in before


def test_somebody_elses_database_under_a_slots_name_is_refused_and_stays(new_stock, admin, ours):
    admin.execute("CREATE DATABASE shop_test_2")
    with pytest.raises(NotOurs, match="shop_test_2"):
        new_stock().start()
    assert ours() == {"shop_test_2"}


def test_what_a_replacement_left_aside_is_dropped_at_the_next_start(
    new_stock, source, databases, ours, wait_until
):
    databases.create(
        "shop_test_used_2",
        source.mark("slot", databases.clock),
        owner="postgres",
        template="template0",
    )
    stock = new_stock()
    stock.start()
    wait_until(lambda: "shop_test_used_2" not in ours())


def test_a_database_that_lost_its_mark_is_never_dropped(new_stock, slots, databases, ours):
    stock = new_stock(slots[:1])
    stock.start()
    name = stock.take().name
    databases.admin.execute(f"COMMENT ON DATABASE {name} IS 'mine now'")
    stock.give_back(name)
    with pytest.raises(NotOurs):
        stock.take(20.0)
    assert ours() == {name}


def test_a_slot_whose_database_the_test_dropped_is_cloned_again(new_stock, slots, databases):
    stock = new_stock(slots[:1])
    stock.start()
    name = stock.take().name
    databases.admin.execute(f"DROP DATABASE {name}")
    stock.give_back(name)
    assert stock.take(20.0).name == name


SCRIPT = """
    import os, sys
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import UsageInvalid
    from freshpg.isolation.cloning import CloneSource
    from freshpg.isolation.stock import CloneStock
    from freshpg.leases.slots import Slot
    from freshpg.postgres.admin import Admin
    from freshpg.postgres.databases import Databases
    address = Conninfo.parse(sys.argv[1])
    source = CloneSource(sys.argv[2], "shop_test", "main", "f1", "postgres")
    slots = [Slot("shop_test", number) for number in (1, 2, 3)]
    stock = CloneStock(lambda: Databases(Admin.connect(address)), source, slots)
    stock.start()
    stock.take()
"""


def run_script(server, template, body):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(SCRIPT) + textwrap.dedent(body),
            server.url(),
            template,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        # Python 3.12 and later warn of every fork beside threads, which is what is tested.
        env={**os.environ, "PYTHONWARNINGS": "default,ignore:This process:DeprecationWarning"},
    )


def test_a_stock_that_nobody_stopped_does_not_keep_the_interpreter(server, databases, template):
    ended = run_script(server, template, "print('end')")
    assert (ended.returncode, ended.stdout) == (0, "end\n")


def test_a_forked_child_has_no_stock_and_does_not_disturb_its_parents(server, databases, template):
    body = """
    child = os.fork()
    if child == 0:
        try:
            stock.take(1)
        except UsageInvalid:
            stock.stop("nothing")
            sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    for _ in range(4):
        stock.give_back(stock.take(20).name)
    stock.stop("nothing")
    print("end")
    """
    ended = run_script(server, template, body)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


def test_one_slot_is_enough(new_stock):
    stock = new_stock([Slot("shop_test", 7)])
    stock.start()
    assert stock.take().name == "shop_test_7"
