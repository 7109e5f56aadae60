"""One suite on both stores; then what only a database has."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.persistence import IntegrityError

from freshpg.drivers.eventsourcing import assert_roundtrip, environment, in_memory, wired
from freshpg.errors import UsageInvalid


@pytest.fixture(params=["memory", "postgres"])
def app(request, ledger):
    if request.param == "memory":
        with in_memory(ledger.Ledger) as made:
            yield made
    else:
        with wired(ledger.Ledger, request.getfixturevalue("database")) as made:
            yield made


@pytest.fixture
def euro(ledger):
    return ledger.Money(Decimal("9.90"), "EUR")


class TestBothStores:
    def test_what_was_saved_is_found_again(self, app, euro):
        account = app.open("ada")
        app.pay(account, euro)

        assert app.paid(account) == [euro]

    def test_what_was_not_saved_is_not_there(self, app):
        with pytest.raises(AggregateNotFoundError):
            app.repository.get(uuid4())

    def test_events_are_numbered_in_the_order_they_were_recorded(self, app):
        accounts = [app.open(name) for name in ("ada", "bob")]

        noted = app.notification_log.select(start=1, limit=10)
        assert [one.originator_id for one in noted] == accounts
        assert [one.id for one in noted] == [1, 2]

    def test_two_that_change_the_same_version_do_not_both_win(self, app, euro):
        account = app.open("ada")
        first, second = app.repository.get(account), app.repository.get(account)
        first.pay(euro)
        second.pay(euro)
        app.save(first)
        with pytest.raises(IntegrityError):
            app.save(second)

    def test_a_snapshot_stands_for_the_events_before_it(self, app, euro):
        account = app.open("ada")
        app.pay(account, euro)
        app.take_snapshot(account)

        (snapshot,) = app.snapshots.get(account)
        assert snapshot.originator_version == 2
        assert app.paid(account) == [euro]

    def test_events_come_back_as_they_went(self, app, ledger, euro):
        account = ledger.Account("ada")
        account.pay(euro)
        for event in account.collect_events():
            assert_roundtrip(event, app)


def test_a_test_begins_without_the_events_of_the_one_before(make_database, template, ledger):
    for _ in range(2):
        app = wired(ledger.Ledger, make_database(template))
        assert app.recorder.max_notification_id() is None
        app.open("ada")


def test_it_is_closed_before_the_database_goes(database, ledger, server):
    app = wired(ledger.Ledger, database)
    app.open("ada")
    assert not app.closing.is_set()
    assert database.close() == []
    assert app.closing.is_set()
    assert app.factory.datastore.pool.closed


def test_settings_in_the_environment_do_not_lead_elsewhere(database, ledger, monkeypatch):
    monkeypatch.setenv("LEDGER_PERSISTENCE_MODULE", "eventsourcing.popo")
    monkeypatch.setenv("LEDGER_POSTGRES_DBNAME", "production")
    with wired(ledger.Ledger, database) as app, database.connect() as connection:
        app.open("ada")
        assert connection.execute("SELECT count(*) FROM ledger_events").fetchone() == (1,)


def test_further_settings_win(database, ledger):
    with wired(ledger.Ledger, database, {"IS_SNAPSHOTTING_ENABLED": "n"}) as app:
        assert app.snapshots is None


def test_missing_tables_say_which_migration_to_add(make_database, ledger):
    with pytest.raises(UsageInvalid, match='eventsourcing:ledger_of_tests:Ledger"') as caught:
        wired(ledger.Ledger, make_database())
    assert caught.value.table == "public.ledger_events"


def test_a_level_that_cannot_cover_it_is_refused_with_those_that_can(make_database, ledger):
    with pytest.raises(UsageInvalid, match='"reset" or "clone"'):
        wired(ledger.Ledger, make_database(isolation="rollback"))


def test_a_system_is_led_to_the_database_by_its_environment(make_database, apply, ledger):
    from eventsourcing.system import SingleThreadedRunner

    database = make_database()
    apply(database.name, "eventsourcing:ledger_of_tests:system")
    names = [ledger.Ledger.name, ledger.Counting.name]
    with SingleThreadedRunner(ledger.system, env=environment(database, names)) as runner:
        runner.get(ledger.Ledger).open("ada")
        assert runner.get(ledger.Counting).recorder.max_tracking_id("Ledger") == 1


def test_a_field_that_cannot_be_stored_is_named(ledger, euro):
    account = ledger.Account("ada")
    account.pay(euro)
    opened, paid = account.collect_events()
    assert_roundtrip(opened)
    with pytest.raises(AssertionError, match=r"Account.Paid cannot be stored: .*Money"):
        assert_roundtrip(paid)
    assert_roundtrip(paid, ledger.Ledger)


def test_a_field_that_comes_back_as_something_else_is_named(ledger):
    from eventsourcing.persistence import DatetimeAsISO

    class OnlyDays(DatetimeAsISO):
        def encode(self, obj):
            return obj.replace(hour=0).isoformat()

    class Forgetful(ledger.Ledger):
        def register_transcodings(self, transcoder):
            super().register_transcodings(transcoder)
            transcoder.register(OnlyDays())

    account = ledger.Account(dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC))
    (event,) = account.collect_events()
    with pytest.raises(AssertionError, match=r"Account.Opened comes back changed\n[^$]*  owner: "):
        assert_roundtrip(event, Forgetful)
