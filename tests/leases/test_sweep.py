import pytest

from freshpg.core.names import doomed_name
from freshpg.leases.registry import holders, overview
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark


@pytest.fixture
def make(databases):
    """Make small databases with a mark, as a run that is over left them."""

    def make_one(name, kind, base="shop_test"):
        mark = Mark(kind, "main", "f1", facts={"base": base} if base else {})
        databases.create(name, mark, owner="postgres", template="template0")
        return name

    return make_one


def names(admin):
    return {
        name
        for (name,) in admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'shop%%'")
    }


def swept(found):
    return {one.name for one in found if one.done}


def test_what_no_living_process_can_be_using_is_dropped(make, databases, admin):
    decoys = {
        make("shop_test", "slot"),
        make("shop_test_used_2", "slot"),
        make("shop_test_3", "ready"),
        make("shop_test_readonly", "scratch"),
    }
    found = sweep_databases(databases)
    assert swept(found) == decoys
    assert names(admin) == set()
    assert {one.why for one in found if one.name == "shop_test"} == {
        "nobody holds slot 1 of shop_test"
    }


def test_bystanders_survive(make, databases, admin):
    bystanders = {
        make("shop_test_template_0f1e2d3c4b5a", "template"),
        make("shop_test_failed_1", "failed"),
        make("shop_test_readonly", "readonly"),
        make("shop_testx", "slot"),
        make("shop_other", "slot", base=""),
    }
    # Without a base its name is no slot's, whatever it looks like.
    make("_2", "slot", base="")
    admin.execute("CREATE DATABASE shop_test_5")
    admin.execute("CREATE DATABASE shop_test_6")
    copied = databases.find("shop_testx").mark.to_comment()
    admin.execute(f"COMMENT ON DATABASE shop_test_6 IS '{copied}'")
    assert sweep_databases(databases) == []
    assert names(admin) == bystanders | {"shop_test_5", "shop_test_6"}


def test_a_leased_slot_is_left_alone_with_both_of_its_databases(
    make, databases, admin, lease_connection
):
    lease_connection().lease("shop_test", 2)
    kept = {make("shop_test_2", "slot"), make("shop_test_used_2", "slot")}
    gone = {make("shop_test_3", "slot")}
    assert swept(sweep_databases(databases)) == gone
    assert names(admin) == kept


def test_the_half_made_read_only_database_of_a_living_user_is_left_alone(
    make, databases, lease_connection
):
    lease_connection().share_readonly("shop_test")
    make("shop_test_readonly", "scratch")
    assert sweep_databases(databases) == []


@pytest.mark.parametrize("kind", ["slot", "template", "failed"])
def test_an_interrupted_drop_is_finished(make, databases, admin, kind):
    make("shop_test", kind)
    admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'shop_test'")
    assert swept(sweep_databases(databases)) == {"shop_test"}
    assert names(admin) == set()


def test_an_interrupted_drop_of_somebody_elses_database_is_not_ours_to_finish(databases, admin):
    admin.execute("CREATE DATABASE shop_test")
    admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'shop_test'")
    try:
        assert sweep_databases(databases) == []
        assert names(admin) == {"shop_test"}
    finally:
        admin.execute("UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'shop_test'")


def test_a_dry_run_says_what_and_why_and_changes_nothing(make, databases, admin):
    make("shop_test", "slot")
    (found,) = sweep_databases(databases, dry_run=True)
    assert (found.name, found.done, found.why) == (
        "shop_test",
        False,
        "nobody holds slot 1 of shop_test",
    )
    assert names(admin) == {"shop_test"}


def test_only_the_kinds_asked_for_are_swept(make, databases, admin):
    make("shop_test", "slot")
    make("shop_test_2", "ready")
    assert swept(sweep_databases(databases, kinds={"slot"})) == {"shop_test"}
    assert names(admin) == {"shop_test_2"}


def test_after_a_sweep_every_slot_can_be_leased(make, databases, lease_connection):
    make("shop_test", "slot")
    sweep_databases(databases)
    assert [slot.number for slot in lease_connection().lease("shop_test", 2)] == [1, 2]


def test_the_overview_shows_databases_slots_sizes_connections_and_holders(
    make, databases, server, lease_connection
):
    make("shop_test", "slot")
    make("shop_test_2", "slot")
    make("shop_test_template_0f1e2d3c4b5a", "template")
    connection = lease_connection(worker="gw0")
    connection.lease("shop_test", 1)
    connection.note("tests/test_cart.py::test_pay")
    # The second note waits for the server to have seen the first.
    connection.note()
    with Admin.connect(server.with_(dbname="shop_test")):
        first, second, template = overview(databases)
    assert (first.name, first.slot, first.connections) == ("shop_test", 1, 1)
    assert first.size > 1_000_000
    assert [holder.note.test for holder in first.holders] == ["tests/test_cart.py::test_pay"]
    assert (second.slot, second.connections, second.holders) == (2, 0, ())
    assert (template.slot, template.mark.kind) == (None, "template")
    assert [holder.slot for holder in holders(databases)] == [1]


def test_a_database_without_a_base_has_no_slot_whatever_its_name(make, databases):
    make("_2", "slot", base="")
    (found,) = overview(databases)
    assert (found.name, found.slot, found.holders) == ("_2", None, ())


def test_a_size_that_our_role_may_not_know_is_left_out(make, databases, admin, server):
    make("shop_test", "slot")
    admin.execute("REVOKE CONNECT ON DATABASE shop_test FROM PUBLIC")
    admin.execute("CREATE ROLE stranger LOGIN")
    try:
        with Admin.connect(server.with_(user="stranger")) as theirs:
            (found,) = overview(Databases(theirs))
        assert (found.name, found.size) == ("shop_test", None)
    finally:
        admin.execute("DROP ROLE stranger")


class Meanwhile(Databases):
    """Something happens right after the databases were listed."""

    def __init__(self, admin, act):
        super().__init__(admin)
        self.act = act

    def all_marked(self):
        found = super().all_marked()
        self.act()
        return found


def test_what_its_maker_finished_since_it_was_listed_is_left_alone(make, databases, admin):
    make("shop_test_readonly", "scratch")
    done = Mark("readonly", "main", "f1", facts={"base": "shop_test"})
    assert (
        sweep_databases(Meanwhile(admin, lambda: databases.mark("shop_test_readonly", done))) == []
    )
    assert names(admin) == {"shop_test_readonly"}


def test_what_was_made_again_since_it_was_listed_is_left_alone(make, databases, admin):
    make("shop_test", "slot")

    def make_again():
        databases.drop("shop_test")
        make("shop_test", "slot")

    assert sweep_databases(Meanwhile(admin, make_again)) == []
    assert names(admin) == {"shop_test"}


def test_what_was_removed_since_it_was_listed_is_no_matter(make, databases, admin):
    make("shop_test", "slot")
    assert sweep_databases(Meanwhile(admin, lambda: databases.drop("shop_test"))) == []


def test_what_cannot_be_removed_is_told_and_does_not_stop_the_sweep(make, databases, admin, server):
    admin.execute("CREATE ROLE maker LOGIN CREATEDB")
    make("shop_test", "slot")
    mark = Mark("slot", "main", facts={"base": "shop_test"})
    try:
        with Admin.connect(server.with_(user="maker")) as theirs:
            Databases(theirs).create("shop_test_2", mark, owner="maker", template="template0")
            refused, removed = sweep_databases(Databases(theirs))
        assert (refused.name, refused.done, removed.name, removed.done) == (
            "shop_test",
            False,
            "shop_test_2",
            True,
        )
        assert "freshpg made it for role postgres" in refused.error
        assert removed.error == ""
    finally:
        admin.execute("DROP ROLE maker")


def test_a_removal_that_was_killed_after_the_renaming_is_finished(make, databases, admin):
    make("shop_test", "template")
    oid = databases.find("shop_test").oid
    databases.rename("shop_test", doomed_name(oid))
    (found,) = sweep_databases(databases, dry_run=True)
    assert (found.name, found.done) == (doomed_name(oid), False)
    assert swept(sweep_databases(databases)) == {doomed_name(oid)}
    assert databases.all_marked() == []
