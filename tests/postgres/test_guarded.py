import pytest

from freshpg.core.errors import DatabaseGone, NotOurs, StatementFailed
from freshpg.postgres.databases import Databases
from freshpg.postgres.guarded import carry_out
from freshpg.postgres.mark import Mark


@pytest.fixture
def make(admin):
    """Make a database of ours and return its oid."""

    def make_one(name, kind="slot"):
        databases = Databases(admin)
        return databases.create(name, Mark(kind, "main"), owner="postgres", template="template1")

    return make_one


def comment(admin, oid):
    return admin.value("SELECT shobj_description(%s, 'pg_database')", (oid,))


def test_what_is_done_to_the_database_that_was_meant_stays_done(admin, make):
    oid = make("shop_test")
    carry_out(admin, "shop_test", ["COMMENT ON DATABASE shop_test IS 'x'"], {"shop_test": oid})
    assert comment(admin, oid) == "x"


def test_what_is_done_to_another_one_of_that_name_is_undone_and_said(admin, make):
    ours, theirs = make("elsewhere"), make("shop_test")
    before = comment(admin, theirs)
    with pytest.raises(NotOurs) as caught:
        carry_out(admin, "shop_test", ["COMMENT ON DATABASE shop_test IS 'x'"], {"shop_test": ours})
    assert comment(admin, theirs) == before
    assert f"number {ours}, which is called elsewhere now" in caught.value.seen


def test_of_several_names_each_must_mean_its_own(admin, make):
    one, other = make("shop_test"), make("shop_test_2")
    carry_out(admin, "shop_test", ["SELECT 1"], {"shop_test": one, "shop_test_2": other})
    for after in (
        {"shop_test": one, "shop_test_2": one},
        {"shop_test": other, "shop_test_2": other},
    ):
        with pytest.raises(NotOurs):
            carry_out(admin, "shop_test", ["SELECT 1"], after)


def test_of_several_the_one_that_lost_its_name_is_named(admin, make):
    ours, new = make("moved_away"), make("shop_test")
    with pytest.raises(NotOurs, match=f"number {ours}, which is called moved_away now"):
        carry_out(admin, "shop_test", ["SELECT 1"], {"shop_test_9": new, "shop_test": ours})
    with pytest.raises(NotOurs, match=f"number {ours}, which is called moved_away now"):
        carry_out(admin, "shop_test", ["SELECT 1"], {"shop_test": ours, "shop_test_9": new})


def test_a_statement_that_fails_is_told_as_itself(admin, make):
    oid = make("shop_test")
    with pytest.raises(StatementFailed) as caught:
        carry_out(admin, "shop_test", ["SELECT nothing_of_this_name"], {"shop_test": oid})
    assert caught.value.sqlstate == "42703"


def test_a_database_that_is_gone_is_told_as_gone(admin, make):
    make("another")
    with pytest.raises(DatabaseGone, match="not_here"):
        carry_out(admin, "not_here", ["SELECT 1"], {"not_here": 4_000_000_000})
