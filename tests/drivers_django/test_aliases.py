"""Which blueprint an alias means, and what its entry says then."""

import subprocess
import sys

import pytest

from freshpg.core.conninfo import Conninfo
from freshpg.drivers.django import databases
from freshpg.drivers.django.aliases import blueprints_by_alias
from freshpg.drivers.django.requirements import require_django
from freshpg.errors import DjangoUnusable
from freshpg.templates.migrations.djangoentry import entry_for

LEASED = Conninfo(host="/run/ours", port=5432, user="postgres", dbname="shop_test")


def entry(name="shop", **test):
    return {"ENGINE": "django.db.backends.postgresql", "NAME": name, "TEST": test}


@pytest.mark.parametrize(
    "configured, blueprints, expected",
    [
        ({"default": entry()}, ["main"], {"default": "main"}),
        ({"default": entry()}, ["main", "other"], {"default": "main"}),
        ({"default": entry()}, ["shop"], {"default": "shop"}),
        ({"default": entry()}, ["default", "main"], {"default": "default"}),
        ({"default": entry(FRESHPG="other")}, ["main", "other"], {"default": "other"}),
        (
            {"default": entry(), "events": entry("events")},
            ["main", "events"],
            {"default": "main", "events": "events"},
        ),
        (
            {"default": entry(), "copy": entry(MIRROR="default"), "again": entry(MIRROR="copy")},
            ["main"],
            {"default": "main", "copy": "main", "again": "main"},
        ),
        ({"default": entry(), "same": entry()}, ["main"], {"default": "main", "same": "main"}),
    ],
)
def test_an_alias_has_the_blueprint_it_names_or_is_called_like(configured, blueprints, expected):
    assert blueprints_by_alias(configured, configured, blueprints) == expected


def test_mirrors_of_a_wanted_alias_come_with_it_and_others_do_not():
    configured = {
        "default": entry(),
        "copy": entry(MIRROR="default"),
        "events": entry("events"),
        "copy_of_events": entry(MIRROR="events"),
    }

    assert blueprints_by_alias(configured, {"default", "unheard_of"}, ["main"]) == {
        "default": "main",
        "copy": "main",
    }


@pytest.mark.parametrize(
    "configured, seen",
    [
        ({"reports": entry()}, "no blueprint is called so; the project has: main, events"),
        ({"reports": entry(FRESHPG="event")}, "the project has: main, events"),
        ({"reports": entry(MIRROR="nowhere")}, "there is no alias 'nowhere'"),
    ],
)
def test_an_alias_without_a_blueprint_is_refused(configured, seen):
    with pytest.raises(DjangoUnusable, match=seen):
        blueprints_by_alias(configured, configured, ["main", "events"])


def test_a_project_without_blueprints_is_told_what_to_write():
    with pytest.raises(DjangoUnusable) as caught:
        blueprints_by_alias({"default": entry()}, ["default"], [])

    assert caught.value.todo == ('add [tool.freshpg.databases.main] with migrations = ["django"]',)


def test_mirrors_of_each_other_end():
    configured = {"one": entry(MIRROR="two"), "two": entry(MIRROR="one")}

    with pytest.raises(DjangoUnusable):
        blueprints_by_alias(configured, configured, ["main"])


def test_an_entry_keeps_how_to_behave_and_forgets_where_to_go():
    production = {
        "ENGINE": "somebody.postgis",
        "NAME": "production",
        "HOST": "db.invalid",
        "PASSWORD": "secret",
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {
            "hostaddr": "192.0.2.1",
            "dbname": "production",
            "service": "production",
            "sslmode": "verify-full",
            "assume_role": "owner",
            "pool": True,
            "isolation_level": 3,
        },
    }

    assert entry_for(production, LEASED) == {
        "ENGINE": "somebody.postgis",
        "NAME": "shop_test",
        "USER": "postgres",
        "PASSWORD": "",
        "HOST": "/run/ours",
        "PORT": "5432",
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {"pool": True, "isolation_level": 3},
    }


def test_parameters_of_a_server_given_by_address_are_passed_on():
    given = LEASED.with_(params=(("sslmode", "require"),), password="pässword")

    made = entry_for({"OPTIONS": {"sslmode": "disable"}, "CONN_MAX_AGE": None}, given)

    assert made["OPTIONS"] == {"sslmode": "require"}
    assert made["PASSWORD"] == "pässword"
    assert "pässword" not in repr(made)
    assert made["CONN_HEALTH_CHECKS"] is True


@pytest.fixture
def settings_of(tmp_path):
    def write(*names):
        (tmp_path / "freshpg.toml").write_text(
            "".join(
                f'[databases.{one}]\nname = "{one}_db"\nmigrations = ["django"]\n' for one in names
            )
        )
        return tmp_path

    return write


def test_databases_are_the_blueprints_of_the_project(settings_of):
    made = databases(settings_of("events", "main"), CONN_MAX_AGE=5, TEST={"NAME": "x"})

    assert list(made) == ["default", "events"]
    assert made["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "main_db",
        "CONN_MAX_AGE": 5,
        "TEST": {"NAME": "x", "FRESHPG": "main"},
    }
    assert made["events"]["TEST"]["FRESHPG"] == "events"


def test_settings_import_neither_django_nor_a_driver(settings_of):
    code = (
        "import sys; from freshpg.drivers.django import databases; databases('.'); "
        "print(sorted({'django', 'psycopg', 'pytest'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings_of("main"), capture_output=True, check=True
    )

    assert done.stdout == b"[]\n"


def test_aliases_may_be_said(settings_of):
    made = databases(settings_of("one", "two"), aliases={"default": "two", "copy": "one"})

    assert {alias: one["NAME"] for alias, one in made.items()} == {
        "default": "two_db",
        "copy": "one_db",
    }


def test_databases_without_a_default_are_refused(settings_of):
    with pytest.raises(DjangoUnusable, match="there are: one, two"):
        databases(settings_of("one", "two"))


@pytest.mark.parametrize(
    "version, fits", [("5.2", True), ("5.2.19", True), ("6.1b1", True), ("5.1.4", False)]
)
def test_an_old_django_is_refused(monkeypatch, version, fits):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)

    if fits:
        require_django()
    else:
        with pytest.raises(DjangoUnusable, match=r"the oldest one supported is 5\.2"):
            require_django()


def test_without_django_the_remedy_is_named(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)

    with pytest.raises(DjangoUnusable, match=r"pip install 'freshpg\[django\]'"):
        require_django()
