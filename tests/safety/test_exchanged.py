"""A database of ours is renamed away under our feet and somebody else's put under its name; or its mark is meddled with."""

from contextlib import suppress

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import FreshpgError, NotOurs
from freshpg.isolation.audit.inside import Inside
from freshpg.postgres.databases import Databases
from freshpg.postgres.grants import Extras
from freshpg.postgres.mark import Mark

DECOY = "customers"


@pytest.fixture(
    params=[
        "copied mark",
        "another of freshpg's",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("unmarked", "own words")),
    ]
)
def decoy(request, make_manager, there):
    """Return what makes the decoy, given the name of the database it will stand in for."""

    def make(name):
        comments = {"own words": "do not touch", "copied mark": there.comment(name)}
        there.make(DECOY, comments.get(request.param))
        if request.param == "another of freshpg's":
            Databases(there.admin).mark(DECOY, Mark("slot", "other", "f9", facts={"base": DECOY}))
        return there.state(DECOY)[DECOY][1]

    return make


def contents(there, name):
    return there.state(name)[name][1]


LEVELS = ["clone", "reset", "rollback"]


@pytest.mark.parametrize("level", LEVELS)
def test_what_was_put_under_the_name_during_a_test_is_not_reset(make_manager, there, decoy, level):
    manager = make_manager()
    database = manager.acquire("main", isolation=level)
    before = decoy(database.name)
    there.exchange(database.name, DECOY)
    with pytest.raises(NotOurs) as caught:
        database.reset()
    assert database.name in str(caught.value)
    assert contents(there, database.name) == before
    there.exchange(database.name, DECOY)
    # The right one is back: it goes on.
    assert database.reset().replaced
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
    manager.release(database)


@pytest.mark.parametrize("level", LEVELS)
def test_what_was_put_under_the_name_is_not_cleared_for_the_next_test(
    make_manager, there, decoy, level
):
    manager = make_manager()
    database = manager.acquire("main", isolation=level)
    name = database.name
    with database.connect() as connection:
        connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
    before = decoy(name)
    there.exchange(name, DECOY)
    # Refused, or another database of ours: nobody is let into the decoy.
    with suppress(NotOurs):
        manager.release(database)
    with suppress(NotOurs), manager.lease(isolation=level) as following:
        assert following.name != name
    with suppress(NotOurs):
        manager.stop()
    # What the next start sweeps.
    with suppress(NotOurs):
        make_manager().start()
    assert contents(there, name) == before


@pytest.mark.parametrize("level", LEVELS)
def test_what_was_put_under_the_name_of_a_clone_that_stands_ready_is_not_handed_out(
    make_manager, there, decoy, level
):
    manager = make_manager()
    with manager.lease(isolation="clone") as database:
        ready = there.another(database.name)
        before = decoy(ready)
        there.exchange(ready, DECOY)
        # The first one is taken, so this would be next.
        with pytest.raises(NotOurs, match=ready):
            manager.acquire("main", isolation=level)
    with suppress(NotOurs):
        manager.stop()
    assert contents(there, ready) == before


def _between(monkeypatch, there, name):
    """Exchange a database just after somebody looked whose it is."""
    for method in ("find", "find_and_ask_if_held"):
        look = getattr(Databases, method)

        def looked(self, asked, look=look, **how):
            found = look(self, asked, **how)
            if asked == name and DECOY in there.names() and not there.exchanged:
                there.exchanged = True
                there.exchange(name, DECOY)
            return found

        monkeypatch.setattr(Databases, method, looked)


ACTS = {
    "drop": lambda databases, name: databases.drop(name),
    "rename": lambda databases, name: databases.rename(name, "elsewhere"),
    "seal": lambda databases, name: databases.seal(name),
    "mark": lambda databases, name: databases.mark(
        name, Mark("slot", "main"), oid=databases.find(name).oid
    ),
}


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("act", ACTS)
def test_what_is_exchanged_between_the_look_and_the_act_is_not_touched(
    there, monkeypatch, act, held
):
    databases = Databases(there.admin)
    databases.create("ours_test", Mark("slot", "main"), owner="postgres", template="somebody_model")
    there.make(DECOY, comment="mine")
    before = there.state(DECOY)[DECOY]
    there.exchanged = False
    _between(monkeypatch, there, "ours_test")
    if held:
        found = DatabaseHeld(there, "ours_test")
        monkeypatch.setattr(Databases, "find_and_ask_if_held", found)
    with pytest.raises(NotOurs, match="put in the place"):
        ACTS[act](databases, "ours_test")
    assert there.exchanged
    after = there.state("ours_test")["ours_test"]
    assert (after[0][0], after[0][2:], after[1]) == (before[0][0], before[0][2:], before[1])
    assert there.comment(DECOY).startswith('{"freshpg"')


class DatabaseHeld:
    """Says that the database is held, and exchanges it: whose sessions are ended then?"""

    def __init__(self, there, name):
        self._there, self._name = there, name

    def __call__(self, asked, *, own):
        assert not own
        there = self._there
        facts = Databases(there.admin).find(asked)
        if not there.exchanged:
            there.exchanged = True
            there.exchange(self._name, DECOY)
        return facts, True


def test_sessions_of_what_was_put_under_the_name_are_not_ended(there):
    databases = Databases(there.admin)
    databases.create("ours_test", Mark("slot", "main"), owner="postgres", template="somebody_model")
    there.make(DECOY)
    facts = databases.find("ours_test")
    there.exchange("ours_test", DECOY)
    with there.enter("ours_test") as theirs, there.enter(DECOY) as ours:
        with pytest.raises(NotOurs, match="put in the place"):
            databases._drop(facts, Deadline(5.0), held=True)
        assert theirs.value("SELECT 1") == 1
        # Told to end, it ends when it next listens.
        with pytest.raises(FreshpgError):
            ours.value("SELECT pg_sleep(20)")


def test_a_comment_is_put_on_no_database_but_the_new_one(there, monkeypatch):
    databases = Databases(there.admin)
    create = Databases._create

    def exchanged(self, name, **how):
        create(self, name, **how)
        there.exchange(name, DECOY)

    monkeypatch.setattr(Databases, "_create", exchanged)
    for make in (
        lambda: databases.create(
            "ours_test", Mark("slot", "main"), owner="postgres", template="template0"
        ),
        lambda: databases.clone(
            "ours_test",
            Mark("slot", "main"),
            owner="postgres",
            template="somebody_model",
            strategy="file_copy",
            extras=Extras((), ()),
        ),
    ):
        there.make(DECOY, comment="mine")
        with pytest.raises(NotOurs, match="put in the place"):
            make()
        assert there.comment("ours_test") == "mine"
        there.clear("somebody_model")


@pytest.mark.parametrize("level", LEVELS)
def test_a_mark_that_was_taken_off_stops_every_act(make_manager, there, level):
    manager = make_manager()
    database = manager.acquire("main", isolation=level)
    name = database.name
    if level != "rollback":
        with database.connect(autocommit=True) as connection:
            connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
    there.say(name, None)
    before = contents(there, name)
    if level == "rollback":
        with pytest.raises(NotOurs):
            database.reset_sequences(to="one")
    else:
        acts = (database.reset, lambda: database.truncate("customer"), database.reset_sequences)
        for act in acts:
            with pytest.raises(NotOurs):
                act()
        database.keep("why")
        with pytest.raises(NotOurs):
            manager.release(database)
    with suppress(NotOurs):
        manager.stop()
    assert contents(there, name) == before


def test_a_mark_with_another_byte_is_none_or_the_same(there):
    databases = Databases(there.admin)
    databases.create("ours_test", Mark("slot", "main"), owner="postgres", template="template0")
    comment = there.comment("ours_test")
    facts = databases.find("ours_test")
    for place, letter in enumerate(comment):
        altered = comment[:place] + ("7" if letter != "7" else "8") + comment[place + 1 :]
        mark = Mark.from_comment(altered)
        if mark and mark.proves(facts.oid, there.admin.system):
            # Only words that prove nothing may differ.
            assert (mark.oid, mark.system) == (facts.oid, there.admin.system)
            continue
        there.say("ours_test", altered)
        with pytest.raises(NotOurs):
            databases.drop("ours_test")
        with pytest.raises(NotOurs):
            Inside.open(there.address.with_(dbname="ours_test"), own=False)
