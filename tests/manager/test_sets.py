"""``lease_all``: databases of several blueprints, all or none, in one order."""

import threading

import pytest

from freshpg.errors import BlueprintInvalid, MigrationFailed

DATABASES = {
    "main": {"name": "shop_test", "migrations": ["schema.sql"]},
    "events": {"name": "shop_events_test", "migrations": ["events.sql"]},
}


@pytest.fixture
def manager(make_manager, project):
    (project / "events.sql").write_text("CREATE TABLE event (id int)")
    return make_manager(databases=DATABASES)


def test_all_blueprints_are_lent_in_the_order_of_their_names(manager):
    with manager.lease_all() as databases:
        assert list(databases) == ["events", "main"]
        assert databases["main"].name == "shop_test"
    assert databases["main"].closed


def test_the_order_named_does_not_matter(manager):
    with manager.lease_all("main", "events", "main") as databases:
        assert list(databases) == ["events", "main"]


def test_a_set_is_reset_as_a_set(manager):
    with manager.lease_all() as databases:
        with databases["events"].connect() as connection:
            connection.execute("INSERT INTO event VALUES (1)")
        with databases["main"].connect() as connection:
            connection.execute("DELETE FROM customer")
        assert list(databases.reset()) == ["events", "main"]
        with databases["events"].connect() as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)
        with databases["main"].connect() as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)


def test_none_is_taken_when_one_is_misspelt(manager):
    with pytest.raises(BlueprintInvalid, match="event"), manager.lease_all("events", "mian"):
        pass
    assert manager.statistics.to_json() == type(manager.statistics)().to_json()


def test_those_taken_are_given_back_when_one_cannot_be_made(make_manager, project):
    (project / "broken.sql").write_text("SELECT 1 / 0")
    manager = make_manager(
        databases={
            "a": {"name": "a_test", "migrations": ["schema.sql"]},
            "broken": {"name": "broken_test", "migrations": ["broken.sql"]},
        }
    )
    with pytest.raises(MigrationFailed, match="of blueprint 'broken'"), manager.lease_all():
        pass
    assert not manager._grants
    with manager.lease("a") as database:
        assert database.name == "a_test"


def test_two_threads_that_need_the_same_databases_both_get_them(manager):
    barrier, got, failed = threading.Barrier(2), [], []

    def use(*names):
        barrier.wait()
        try:
            for _ in range(3):
                with manager.lease_all(*names) as databases:
                    got.append({database.name for database in databases.values()})
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [
        threading.Thread(target=use, args=names)
        for names in (("main", "events"), ("events", "main"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(got) == 6
