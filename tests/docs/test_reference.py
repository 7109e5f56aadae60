"""Nothing a user can write is undocumented: settings, variables, fixtures, options, commands, errors, events, names."""

import dataclasses
import importlib
import inspect
import re

import pytest
from documentation import DOCS, ROOT, headings

import freshpg
from freshpg import errors
from freshpg.core import events
from freshpg.core.conninfo import DIALECTS, Conninfo
from freshpg.core.settings.model import DatabaseSettings, Settings
from freshpg.core.settings.schema import DATABASE_FIELDS, FIELDS
from freshpg.core.settings.sources import OTHER_VARIABLES, PREFIX
from freshpg.isolation.levels import LEVELS
from freshpg.pytest_plugin import marker
from freshpg.templates.migrations.parse import KINDS

EVENTS = [
    value
    for value in vars(events).values()
    if isinstance(value, type) and issubclass(value, events.Event) and value is not events.Event
]


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


def code_in(text):
    """Return what stands between backticks, and in blocks."""
    return "\n".join(
        [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"```.*?```", text, re.DOTALL)]
    )


def missing(names, text):
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def section(page, heading):
    outside_blocks = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    found = re.search(
        rf"^(#+) `?{re.escape(heading)}`?$.*?(?=^#+ |\Z)", outside_blocks, re.MULTILINE | re.DOTALL
    )
    return found[0] if found else ""


@pytest.mark.parametrize("key", FIELDS)
def test_every_setting_has_a_heading(key):
    assert key in headings(DOCS / "reference/settings.md")


@pytest.mark.parametrize("key", DATABASE_FIELDS)
def test_every_setting_of_a_database_has_a_heading(key):
    assert f"databases.NAME.{key}" in headings(DOCS / "reference/settings.md")


def test_no_setting_is_documented_that_does_not_exist():
    known = {*FIELDS, *(f"databases.NAME.{key}" for key in DATABASE_FIELDS)}
    documented = re.findall(r"^### `(.+)`$", text_of("reference/settings.md"), re.MULTILINE)

    assert set(documented) == known


@pytest.mark.parametrize(
    "key, shown",
    [
        ("server", '`"auto"`'),
        ("isolation", '`"reset"`'),
        ("stock", "`2`"),
        ("keep", "`5`"),
        ("images_max", "`16`"),
        ("allow_create", "`false`"),
        ("superuser", "`false`"),
    ],
)
def test_the_documented_default_is_the_default(key, shown):
    default = {field.name: field.default for field in dataclasses.fields(Settings)}[key]

    assert f"Default {shown}" in section("reference/settings.md", key)
    assert shown.strip('`"') == str(default).lower()


def test_every_variable_is_documented():
    settings = [f"{PREFIX}{key.upper()}" for key in FIELDS if key != "settings"]
    written = Conninfo(host="h", user="u", password="p", dbname="d").environment()

    assert (
        missing([*settings, *OTHER_VARIABLES, *written, "CI"], text_of("reference/environment.md"))
        == []
    )


def test_every_fixture_is_documented():
    module = importlib.import_module("freshpg.pytest_plugin")

    assert missing(module.__all__, section("reference/pytest.md", "Fixtures")) == []


def test_every_argument_of_the_marker_is_documented():
    parameters = inspect.signature(marker.pg).parameters

    assert missing(parameters, section("reference/pytest.md", "Marker")) == []


def test_every_option_of_pytest_is_documented(pytestconfig):
    parser = pytestconfig._parser
    options = [name for option in parser.getgroup("freshpg").options for name in option.names()]
    ini = [name for name in parser._inidict if name.startswith("pg_")]

    assert len(options) >= 3
    assert missing([*options, *ini], section("reference/pytest.md", "Options")) == []


@pytest.mark.parametrize("error", errors.all_errors(), ids=lambda error: error.code)
def test_every_error_has_its_headline_as_a_heading_with_a_remedy(error):
    headline = f"{error.code} {error.title}"

    assert headline in headings(DOCS / "troubleshooting.md")
    assert len(section("troubleshooting.md", headline).split()) > 12


def test_every_heading_with_a_code_is_an_error():
    known = {f"{error.code} {error.title}" for error in errors.all_errors()}

    assert {
        line for line in headings(DOCS / "troubleshooting.md") if line.startswith("FPG-")
    } == known


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_documented_with_its_fields(event):
    (row,) = re.findall(
        rf"^\| `{event.__name__}` \|.*$", text_of("reference/events.md"), re.MULTILINE
    )

    assert missing([field.name for field in dataclasses.fields(event)], row) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_step_has_a_heading(kind):
    assert kind in headings(DOCS / "reference/migrations.md")


def test_every_level_of_isolation_is_explained():
    explained = headings(DOCS / "explanation/isolation.md")

    assert [level for level in LEVELS if level not in explained] == []


@pytest.mark.parametrize("name", freshpg.__all__)
def test_every_public_name_has_a_heading(name):
    titles = [re.sub(r",.*| \(.*", "", title) for title in headings(DOCS / "reference/python.md")]

    assert f"freshpg.{name}" in titles


@pytest.mark.parametrize(
    "cls",
    [freshpg.Database, freshpg.DatabaseManager, freshpg.Residue, freshpg.TenantPools, Settings],
)
def test_every_public_member_is_documented(cls):
    members = {
        name for name in dir(cls) if not name.startswith("_") and not hasattr(Exception, name)
    }
    members -= {field.name for field in dataclasses.fields(Settings)} if cls is Settings else set()

    assert missing(members, code_in(text_of("reference/python.md"))) == []


def test_every_parameter_of_the_public_calls_is_documented():
    calls = (freshpg.database, freshpg.Blueprint, freshpg.DatabaseManager.acquire)
    names = [
        name for call in calls for name in inspect.signature(call).parameters if name != "self"
    ]

    assert missing(names, code_in(text_of("reference/python.md"))) == []


def test_every_awaited_verb_is_documented():
    aio = importlib.import_module("freshpg.aio")
    verbs = [
        f"freshpg.aio.{name}"
        for name, value in vars(aio).items()
        if callable(value) and value.__module__ == aio.__name__
    ]

    assert len(verbs) >= 5
    assert missing(verbs, text_of("reference/python.md")) == []


def test_every_dialect_is_documented():
    assert missing([f'"{dialect}"' for dialect in DIALECTS], text_of("reference/python.md")) == []


def test_settings_of_a_database_are_those_of_the_schema():
    assert {field.name for field in dataclasses.fields(DatabaseSettings)} - {"blueprint"} == set(
        DATABASE_FIELDS
    )


def commands(command, path=()):
    """Yield every command below a click command with the words that call it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def test_every_command_and_option_explains_itself():
    """The page of commands is made from their help, so a missing help is a missing line there."""
    cli = pytest.importorskip("freshpg.cli")
    silent = [
        " ".join((*path, *getattr(parameter, "opts", [])))
        for path, command in commands(cli.app)
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden and not parameter.help
    ]
    silent += [" ".join(path) for path, command in commands(cli.app) if path and not command.help]

    assert silent == []
    assert ":nested: full" in text_of("reference/cli.md")


def test_the_guides_name_no_command_that_does_not_exist():
    cli = pytest.importorskip("freshpg.cli")
    known = set(cli.app.commands)
    named = {
        (page.relative_to(ROOT).as_posix(), word)
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for word in re.findall(r"(?:`|\$ )freshpg ([a-z]+)", page.read_text(encoding="utf-8"))
        if page != DOCS / "explanation/design.md"
    }

    assert sorted((page, word) for page, word in named if word not in known) == []


def test_every_error_the_readme_names_exists():
    named = set(re.findall(r"`(FPG-\w+ [^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8")))

    assert named
    assert named <= {f"{error.code} {error.title}" for error in errors.all_errors()}


def test_no_link_between_pages_is_dead():
    pages = [ROOT / "README.md", *DOCS.rglob("*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    ]

    assert [
        f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()
    ] == []


def test_the_documentation_leads_out_of_the_project_nowhere():
    found = [
        f"{page.name}: {link}"
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).resolve().is_relative_to(ROOT)
    ]

    assert found == []
