import json
from dataclasses import dataclass

import psycopg
import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import (
    BlueprintInvalid,
    ExtensionMissing,
    MigrationFailed,
    MigrationMissing,
    MigrationTimedOut,
    NotOurs,
    TemplateBusy,
)
from freshpg.core.events import Bus, Progress, TemplateReady
from freshpg.core.names import template_name
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.templates import locks
from freshpg.templates.blueprint import Blueprint
from freshpg.templates.builder import BuildSite, TemplateBuilder
from freshpg.templates.fingerprint import chain_of
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.plan import Plan
from freshpg.templates.records import building_mark


@pytest.fixture
def site(server):
    return BuildSite(own=True, tests=server.with_(user="postgres"))


@pytest.fixture
def builder(admin, site):
    return TemplateBuilder(admin, site)


@pytest.fixture
def project(tmp_path):
    """A project of two migrations and a seed; returns a function that makes its blueprint."""
    (tmp_path / "a.sql").write_text("CREATE TABLE a (id int PRIMARY KEY);\n")
    (tmp_path / "b.sql").write_text("CREATE TABLE b (id int);\nINSERT INTO b VALUES (1), (2);\n")
    (tmp_path / "seed.sql").write_text("INSERT INTO a SELECT generate_series(1, 3);\n")

    def blueprint(*migrations, **more):
        chosen = migrations or ("a.sql", "b.sql")
        return Blueprint("main", "shop_test", chosen, root=tmp_path, **more)

    blueprint.root = tmp_path
    return blueprint


def made(admin):
    rows = admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'shop%' ORDER BY 1")
    return [name for (name,) in rows]


def look(admin, template, query):
    """Return what a clone of a template answers."""
    admin.execute(
        f"CREATE DATABASE shop_look OWNER postgres TEMPLATE {template} STRATEGY file_copy"
    )
    try:
        with psycopg.connect(
            **admin.conninfo.with_(dbname="shop_look", user="postgres").keywords()
        ) as connection:
            return connection.execute(query).fetchall()
    finally:
        Databases(admin, own=True).clear_holders("shop_look")
        admin.execute("DROP DATABASE shop_look")


def test_a_template_holds_what_the_migrations_made(admin, builder, project):
    template = builder.ensure(project())
    assert (template.how, template.notes) == ("built", ())
    assert look(admin, template.name, "SELECT sum(id) FROM b") == [(3,)]


def test_an_empty_template_may_be_wanted(admin, builder, tmp_path):
    template = builder.ensure(Blueprint("main", "shop_test", [], root=tmp_path))
    assert look(
        admin, template.name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    ) == [(0,)]


def test_an_interrupted_build_leaves_nothing(admin, builder, project):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(BaseException):  # noqa: B017, PT011 (how an interrupt inside a step arrives is the step's affair)
        builder.ensure(project("a.sql", interrupted))
    assert made(admin) == []


def test_a_superuser_blueprint_needs_a_superuser(admin, server, project):
    without = TemplateBuilder(admin, BuildSite(own=True, tests=server.with_(user="postgres")))
    with pytest.raises(BlueprintInvalid, match="no superuser"):
        without.ensure(project(superuser=True))
    with_one = BuildSite(own=True, tests=server.with_(user="postgres"), superuser_tests=server)
    template = TemplateBuilder(admin, with_one).ensure(project(superuser=True))
    assert Databases(admin).find(template.name).owner == "freshpg_admin"


def test_statistics_of_filled_tables_travel_with_the_template(admin, builder, project):
    template = builder.ensure(project())
    asked = "SELECT relname, reltuples FROM pg_class WHERE relname IN ('a', 'b') ORDER BY 1"
    assert look(admin, template.name, asked) == [("a", 0.0), ("b", 2.0)]


def test_the_second_time_a_template_is_reused(admin, builder, project, site):
    first = builder.ensure(project())
    with Admin.connect(admin.conninfo) as other:
        again = TemplateBuilder(other, site).ensure(project())
    assert (again.name, again.how) == (first.name, "reused")
    assert made(admin) == [first.name]


def test_a_template_lets_nobody_in_not_even_a_superuser(admin, builder, project):
    template = builder.ensure(project())
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(**admin.conninfo.with_(dbname=template.name).keywords())


def test_its_tables_belong_to_the_role_of_the_tests(admin, builder, project):
    template = builder.ensure(project())
    owners = look(
        admin,
        template.name,
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'",
    )
    assert owners == [("postgres",)]


def test_an_edited_migration_means_another_template(builder, project):
    first = builder.ensure(project())
    (project.root / "b.sql").write_text("CREATE TABLE b (id bigint);\n")
    second = builder.ensure(project())
    (project.root / "b.sql").write_text(
        "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1), (2);\n"
    )
    assert second.name != first.name
    assert builder.ensure(project()).name == first.name


def test_an_appended_migration_builds_on_the_template_before(admin, builder, project):
    builder.ensure(project("a.sql"))
    # Were it run from the start, this file's absence of "a" would fail.
    (project.root / "a_copy.sql").write_text("INSERT INTO a VALUES (7);\n")
    template = builder.ensure(project("a.sql", "a_copy.sql"))
    assert template.how == "layered"
    assert look(admin, template.name, "SELECT id FROM a") == [(7,)]


def test_seeds_keep_the_template_of_the_migrations_for_the_next_one(admin, builder, project):
    seeded = builder.ensure(project(seed=["seed.sql"]))
    assert look(admin, seeded.name, "SELECT count(*) FROM a") == [(3,)]
    layer = template_name("shop_test", builder.plan(project()).fingerprint)
    assert made(admin) == sorted([layer, seeded.name])
    (project.root / "c.sql").write_text("CREATE TABLE c (id int);\n")
    more = builder.ensure(project("a.sql", "b.sql", "c.sql", seed=["seed.sql"]))
    assert more.how == "layered"


def test_no_layer_is_kept_when_none_is_wanted(admin, builder, project):
    seeded = builder.ensure(project(seed=["seed.sql"]), layers=False)
    assert made(admin) == [seeded.name]


def test_a_failing_migration_leaves_nothing_and_the_next_run_starts_clean(admin, builder, project):
    (project.root / "b.sql").write_text("CREATE TABLE b (id int);\n\nSELEC 1;\n")
    with pytest.raises(MigrationFailed, match=r"b\.sql:3") as caught:
        builder.ensure(project())
    assert "42601" in str(caught.value)
    assert made(admin) == []
    (project.root / "b.sql").write_text("CREATE TABLE b (id int);\n")
    assert builder.ensure(project()).how == "built"


def test_a_missing_file_is_told_before_anything_is_made(admin, builder, project):
    with pytest.raises(MigrationMissing, match=r"c\.sql"):
        builder.ensure(project("a.sql", "c.sql"))
    assert made(admin) == []


def test_a_migration_that_hangs_is_ended_at_its_deadline(admin, builder, project):
    (project.root / "b.sql").write_text("SELECT pg_sleep(60);\n")
    with pytest.raises(MigrationTimedOut, match="pg_sleep") as caught:
        builder.ensure(project(deadline=0.5))
    assert "PgSleep" in caught.value.seen
    assert made(admin) == []


def test_an_index_may_be_created_concurrently(admin, builder, project):
    (project.root / "b.sql").write_text("CREATE INDEX CONCURRENTLY a_id ON a (id);\n")
    template = builder.ensure(project())
    assert look(
        admin, template.name, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_id'::regclass"
    ) == [(True,)]


def test_what_steps_leave_open_is_ended(admin, builder, project):
    kept = []

    def untidy(conn: psycopg.Connection) -> None:
        dsn = conn.info.dsn
        for statement in ("INSERT INTO a VALUES (50)", "INSERT INTO a VALUES (60)"):
            left = psycopg.connect(dsn)
            left.execute(statement)
            kept.append(left)
        kept[1].execute("PREPARE TRANSACTION 'forgotten'")

    template = builder.ensure(project("a.sql", untidy))
    for connection in kept:
        connection.close()
    assert look(admin, template.name, "SELECT id FROM a") == []
    assert admin.rows("SELECT FROM pg_prepared_xacts") == []
    assert any("left a session open" in note for note in template.notes)


def test_extensions_are_created_by_the_admin(admin, builder, project):
    if not admin.value("SELECT true FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        pytest.skip("this server has no pg_trgm")
    template = builder.ensure(project(extensions=["pg_trgm"]))
    found = look(
        admin,
        template.name,
        "SELECT extname, extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'",
    )
    assert found == [("pg_trgm", "public")]


def test_a_missing_extension_says_who_has_it_and_leaves_nothing(admin, builder, project):
    with pytest.raises(ExtensionMissing, match="no_such_thing"):
        builder.ensure(project(extensions=["no_such_thing"]))
    assert made(admin) == []


def test_settings_and_grants_of_the_database_reach_clones(admin, builder, project):
    (project.root / "b.sql").write_text(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = app, public', current_database());"
        "EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END $$;\n"
    )
    template = builder.ensure(project())
    Databases(admin).create(
        "shop_clone",
        building_mark(builder.plan(project()), "", now=0),
        owner="postgres",
        template=template.name,
    )
    with psycopg.connect(
        **admin.conninfo.with_(dbname="shop_clone", user="postgres").keywords()
    ) as inside:
        assert inside.execute("SHOW search_path").fetchone() == ("app, public",)
    assert (
        admin.value("SELECT has_database_privilege('pg_monitor', 'shop_clone', 'CONNECT')") is False
    )


def test_an_unmarked_database_with_our_template_name_is_rebuilt_on_a_server_of_ours(
    admin, builder, project
):
    name = template_name("shop_test", builder.plan(project()).fingerprint)
    admin.execute(f"CREATE DATABASE {name}")
    assert builder.ensure(project()).how == "built"
    assert made(admin) == [name]


def test_an_unmarked_database_on_somebody_elses_server_is_never_touched(admin, server, project):
    theirs = TemplateBuilder(admin, BuildSite(own=False, tests=server.with_(user="postgres")))
    name = template_name("shop_test", theirs.plan(project()).fingerprint)
    admin.execute(f"CREATE DATABASE {name}")
    oid = admin.value("SELECT oid FROM pg_database WHERE datname = %s", (name,))
    with pytest.raises(NotOurs, match="does not carry freshpg's mark"):
        theirs.ensure(project())
    assert admin.value("SELECT oid FROM pg_database WHERE datname = %s", (name,)) == oid


class Written:
    """Intents of a maker that was killed."""

    def __init__(self, *names):
        self.names = set(names)

    def open(self, name, oid=None):
        self.names.add(name)

    def close(self, name):
        self.names.discard(name)

    def pending(self):
        return self.names


def test_an_intent_proves_that_an_unmarked_database_is_ours(admin, server, project):
    site = BuildSite(own=False, tests=server.with_(user="postgres"))
    plan = TemplateBuilder(admin, site).plan(project())
    left = f"shop_test_building_{plan.fingerprint[:6]}0a0b0c"
    admin.execute(f"CREATE DATABASE {left}")
    admin.execute(f"CREATE DATABASE {left[:-1]}0")
    intents = Written(left)
    template = TemplateBuilder(admin, site, intents=intents).ensure(project())
    assert made(admin) == [f"{left[:-1]}0", template.name]
    assert intents.names == set()


def test_a_half_built_template_of_a_dead_builder_is_removed(admin, builder, project):
    plan = builder.plan(project())
    name = template_name("shop_test", plan.fingerprint)
    left = f"shop_test_building_{plan.fingerprint[:6]}000000"
    Databases(admin).create(
        left, building_mark(plan, name, now=0), owner="postgres", template="template0"
    )
    assert builder.ensure(project()).name == name
    assert made(admin) == [name]


def test_a_template_whose_builder_died_before_the_last_mark_is_built_again(admin, builder, project):
    plan = builder.plan(project())
    name = template_name("shop_test", plan.fingerprint)
    databases = Databases(admin)
    oid = databases.create(
        name, building_mark(plan, name, now=0), owner="postgres", template="template0"
    )
    databases.seal(name)
    assert builder.ensure(project()).how == "built"
    assert databases.find(name).oid != oid


def test_a_template_somebody_opened_is_built_again(admin, builder, project, site):
    first = builder.ensure(project())
    Databases(admin).unseal(first.name)
    with Admin.connect(admin.conninfo) as other:
        assert TemplateBuilder(other, site).ensure(project()).how == "built"


def test_a_restored_comment_proves_nothing(admin, builder, project, site):
    template = builder.ensure(project())
    comment = admin.value(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
        (template.name,),
    )
    admin.execute("CREATE DATABASE shop_other")
    copied = json.dumps(json.loads(comment)).replace("'", "''")
    admin.execute(f"COMMENT ON DATABASE shop_other IS '{copied}'")
    assert Databases(admin).find("shop_other").mark is None


def test_a_waiter_gives_up_at_its_deadline_and_names_the_builder(admin, builder, project):
    name = template_name("shop_test", builder.plan(project()).fingerprint)
    with Admin.connect(admin.conninfo, application_name="freshpg pytest gw7") as other:
        assert locks.try_lock(other, locks.build_key(name))
        with pytest.raises(TemplateBusy, match="freshpg pytest gw7") as caught:
            builder.ensure(project(), wait=0.05)
        assert caught.value.pids == (other.pid,)
    assert made(admin) == []


def test_events_tell_what_goes_on(admin, site, project):
    seen = []
    bus = Bus()
    bus.subscribe(seen.append)
    template = TemplateBuilder(admin, site, events=bus).ensure(project())
    steps = [event.text for event in seen if isinstance(event, Progress)]
    assert [text.split(": ", 1)[1] for text in steps] == ["a.sql (1 of 2)", "b.sql (2 of 2)"]
    assert seen[-1] == TemplateReady("main", template.fingerprint, "built", template.seconds)


@dataclass(frozen=True)
class Grown:
    """A tool that knows what it has applied already, as alembic and django do."""

    tables: tuple[str, ...]
    spec: str = "grown"

    def parts(self):
        return (self,)

    def inputs(self):
        return StepInputs(history=tuple(Input(table, table) for table in self.tables))

    def apply(self, target, deadline):
        with psycopg.connect(**target.conninfo.keywords()) as connection:
            for table in self.tables:
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} AS SELECT {len(self.tables)} AS round"
                )


def test_a_grown_history_is_applied_to_the_template_before(admin, builder, project):
    def ensure(*tables):
        steps = (Grown(tables),)
        chain = chain_of(project(), [step.inputs() for step in steps], build="x", owner="postgres")
        return builder._ensure(Plan(project(), steps, 0, chain), Deadline(10), layers=True)

    ensure("one")
    template = ensure("one", "two")
    assert template.how == "layered"
    assert look(admin, template.name, "SELECT one.round, two.round FROM one, two") == [(1, 2)]


def test_a_database_made_read_only_by_its_migration_is_finished_all_the_same(
    admin, builder, project
):
    (project.root / "b.sql").write_text(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',"
        " current_database()); END $$;\n"
    )
    assert builder.ensure(project()).how == "built"


@pytest.fixture
def plain_admin(admin, server):
    """Somebody else's server, where our role may create databases and nothing more."""
    admin.execute("CREATE ROLE ci LOGIN CREATEDB")
    with Admin.connect(server.with_(user="ci")) as plain:
        yield plain
    for (name,) in admin.rows(
        "SELECT datname FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE rolname = 'ci'"
    ):
        admin.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
        admin.execute(f"DROP DATABASE {name}")
    admin.execute("DROP ROLE ci")


def test_a_role_that_may_only_create_databases_is_enough(plain_admin, project):
    site = BuildSite(own=False, tests=plain_admin.conninfo)
    template = TemplateBuilder(plain_admin, site).ensure(project(seed=["seed.sql"]))
    assert template.how == "layered"
    plain_admin.execute(f"CREATE DATABASE shop_clone TEMPLATE {template.name}")
    with Admin.connect(plain_admin.conninfo) as other:
        assert TemplateBuilder(other, site).ensure(project(seed=["seed.sql"])).how == "reused"


def test_what_a_role_may_not_do_is_left_neither_half_done(plain_admin, project):
    site = BuildSite(own=False, tests=plain_admin.conninfo)
    (project.root / "b.sql").write_text("CREATE ROLE somebody;\n")
    with pytest.raises(MigrationFailed, match="42501"):
        TemplateBuilder(plain_admin, site).ensure(project())
    assert made(plain_admin) == []
