"""What is made once and reused: images, warm servers, layers."""

from __future__ import annotations

import pytest

from freshpg.core.events import TemplateReady


def hows(manager):
    with manager.lease() as database, database.connect() as connection:
        connection.execute("SELECT 1")
    return manager.server.how


def test_the_image_is_made_once_and_then_started_from(make_manager, project):
    (project / "schema.sql").write_text("CREATE TABLE only_here_once (id int)")
    assert hows(make_manager()) == "initdb"
    assert hows(make_manager()) == "image"


def test_a_warm_server_is_taken_again(make_manager):
    first = make_manager(linger=60)
    hows(first)
    first.stop()
    second = make_manager(linger=0)
    assert hows(second) == "warm"


def test_a_warm_server_of_another_schema_is_not_taken(make_manager, project):
    first = make_manager(linger=60)
    hows(first)
    first.stop()
    (project / "schema.sql").write_text("CREATE TABLE another (id int)")
    assert hows(make_manager()) != "warm"
    (project / "schema.sql").write_text("SELECT 1")


def test_what_a_test_left_in_a_warm_server_is_not_there_for_the_next_run(make_manager):
    first = make_manager(linger=60)
    with first.lease() as database, database.connect() as connection:
        connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
    first.stop()
    with make_manager(linger=0).lease() as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)


@pytest.mark.parametrize("seed", [[], ["seed.sql"]], ids=["without seeds", "with seeds"])
def test_an_appended_migration_starts_from_the_template_of_those_before(
    make_manager, project, seed
):
    (project / "seed.sql").write_text("INSERT INTO customer (name) VALUES ('Seed')")
    (project / "more.sql").write_text(
        f"CREATE TABLE more (id int); -- {len(seed)} seeds, templates of their own"
    )

    def manager(*migrations):
        made = make_manager(
            databases={
                "main": {"name": "layers_test", "migrations": list(migrations), "seed": seed}
            }
        )
        made.templates = []
        made.events.subscribe(
            lambda event: made.templates.append(event) if isinstance(event, TemplateReady) else None
        )
        return made

    first = manager("schema.sql")
    first.start()
    second = manager("schema.sql", "more.sql")
    with second.lease() as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1 + len(seed),)
    assert second.templates[0].how == "layered"


def test_the_trail_says_who_was_asked_and_why_it_served(make_manager):
    # An image of its own: other tests leave warm servers too.
    own = {"settings": {"application_name": "trail"}}
    first = make_manager(linger=60, **own)
    assert first.trail == ()
    hows(first)
    asked = [attempt.provider for attempt in first.trail]
    # Without a wheel one more is asked.
    assert asked in (["keeper", "embedded"], ["keeper", "embedded", "system"])
    assert [attempt.taken for attempt in first.trail] == [*([False] * (len(asked) - 1)), True]
    first.stop()
    second = make_manager(linger=0, **own)
    hows(second)
    assert second.trail[0].provider == "keeper"
    assert second.trail[0].taken


def test_every_run_begins_with_the_plain_name(make_manager):
    for _ in range(3):
        manager = make_manager(linger=60)
        for _ in range(2):
            with manager.lease() as database:
                assert database.name == "shop_test"
        manager.stop()
    make_manager(linger=0).start()
