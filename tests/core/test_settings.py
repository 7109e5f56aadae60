"""Every source of settings, in order of strength, with origins; and every way to get one wrong."""

import pickle

import pytest

from freshpg.core.errors import (
    BlueprintInvalid,
    ConfigurationError,
    IsolationUnknown,
    NameInvalid,
    SettingsInvalid,
    UrlInvalid,
)
from freshpg.core.settings import DatabaseSettings, Settings, load_settings
from freshpg.core.settings.schema import DATABASE_FIELDS, FIELDS

MAIN = '[tool.freshpg.databases.main]\nname = "shop_test"\nmigrations = ["a.sql"]\n'


@pytest.fixture
def load(tmp_path):
    def load(text="", overrides=None, **environment):
        if text:
            (tmp_path / "pyproject.toml").write_text(text)
        return load_settings(tmp_path, environment=environment, overrides=overrides)

    return load


def tool(line):
    return f"[tool.freshpg]\n{line}\n"


def test_nothing_configured_gives_one_empty_database_named_after_the_folder(tmp_path):
    folder = tmp_path / "My Shop"
    folder.mkdir()
    settings = load_settings(folder, environment={})
    assert settings == Settings(root=folder)
    assert settings.databases == {
        "main": DatabaseSettings(name="my_shop_test", migrations=(), blueprint="main")
    }
    assert {str(settings.origin(key)) for key in FIELDS if key != "settings"} == {"default"}


def test_the_defaults_are_those_of_the_design(load):
    settings = load()
    assert (settings.server, settings.postgres, settings.isolation) == ("auto", None, "reset")
    assert (settings.linger, settings.deadline) == (600.0, 600.0)
    assert (settings.allow_create, settings.superuser, settings.extensions) == (False, False, ())
    assert (settings.stock, settings.keep) == (2, 5)
    assert settings.images_max_size == 2 * 1024**3


def test_later_sources_win_and_each_value_knows_its_own(load):
    text = tool('isolation = "clone"\nstock = 1\nkeep = 1\nlinger = "10m"')
    environment = {"FRESHPG_STOCK": "3", "FRESHPG_KEEP": "3"}
    settings = load(text, {"keep": (4, "--pg-keep-failed")}, **environment)
    settings = settings.with_(linger="90s")
    values = {"isolation": "clone", "stock": 3, "keep": 4, "linger": 90.0, "postgres": None}
    assert {key: getattr(settings, key) for key in values} == values
    assert {key: str(settings.origin(key)) for key in values} == {
        "isolation": "pyproject.toml:2",
        "stock": "environment FRESHPG_STOCK",
        "keep": "--pg-keep-failed",
        "linger": "call argument",
        "postgres": "default",
    }


def test_each_value_of_a_database_knows_its_line(load):
    settings = load(MAIN + "seed = [\n  'b.sql',\n]\n", FRESHPG_DATABASES_MAIN_SUPERUSER="yes")
    assert str(settings.origin("databases.main")) == "pyproject.toml:1"
    assert str(settings.origin("databases.main.name")) == "pyproject.toml:2"
    assert str(settings.origin("databases.main.seed")) == "pyproject.toml:4"
    assert (
        str(settings.origin("databases.main.superuser"))
        == "environment FRESHPG_DATABASES_MAIN_SUPERUSER"
    )
    assert str(settings.origin("databases.main.extensions")) == "default"


def test_the_origin_of_an_unknown_key_is_an_error_with_the_nearest(load):
    with pytest.raises(SettingsInvalid, match=r"databases\.main\.name"):
        load().origin("databases.main.nam")


def test_in_ci_idle_servers_do_not_linger_unless_told_to(load):
    assert load(CI="true").linger == 0
    assert str(load(CI="1").origin("linger")) == "default, because CI is set"
    assert load(CI="false").linger == load(CI="").linger == 600
    assert load(tool('linger = "5m"'), CI="true").linger == 300


@pytest.mark.parametrize(
    "written, seconds",
    [
        ("10m", 600),
        ("90s", 90),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5 s", 1.5),
        ("250ms", 0.25),
        ("2d", 172800),
        (0, 0),
        (2.5, 2.5),
        ("7", 7),
    ],
)
def test_durations_are_seconds(written, seconds):
    assert Settings(linger=written).linger == seconds


@pytest.mark.parametrize(
    "written, size",
    [
        ("2GB", 2 * 1024**3),
        ("500 MB", 500 * 1024**2),
        ("1kB", 1024),
        ("1.5g", 1536 * 1024**2),
        (8, 8),
        ("7", 7),
        ("9B", 9),
        ("1TiB", 1024**4),
    ],
)
def test_sizes_are_bytes(written, size):
    assert Settings(images_max_size=written).images_max_size == size


def test_versions_are_major_numbers():
    assert Settings(postgres="17").postgres == Settings(postgres=17).postgres == 17


def test_server_parameters_become_texts_under_lower_case_names(load):
    settings = load(
        tool('settings = { Work_Mem = "64MB", jit = false, app.tenant = "x", cost = 1.5, n = 3 }')
    )
    assert dict(settings.settings) == {
        "app.tenant": "x",
        "cost": "1.5",
        "jit": "off",
        "n": "3",
        "work_mem": "64MB",
    }
    assert load(FRESHPG_SETTINGS_WORK_MEM="1MB").settings["work_mem"] == "1MB"


@pytest.mark.parametrize(
    "name", ["port", "listen_addresses", "unix_socket_directories", "hba_file", "PORT"]
)
def test_parameters_that_would_open_a_server_of_ours_are_refused(name):
    with pytest.raises(SettingsInvalid, match="decided by freshpg"):
        Settings(settings={name: "x"})


@pytest.mark.parametrize(
    "address", ["postgres:/ada:hunter2@", "ada:hunter2@db", "postgres:ada:hunter2@db/shop"]
)
def test_an_address_that_is_none_is_told_without_its_password(load, address):
    with pytest.raises(SettingsInvalid) as caught:
        load(FRESHPG_SERVER=address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"a b": "x"}, {"a": "x\ny"}, {"a": None}, {"a": "\0"}, {"": "x"}, []]
)
def test_what_cannot_be_a_server_parameter_is_refused(settings):
    if settings:
        with pytest.raises(SettingsInvalid):
            Settings(settings=settings)
    else:
        with pytest.raises(SettingsInvalid):
            Settings(settings="x")


def test_database_url_is_never_read(load):
    environment = {
        "DATABASE_URL": "postgresql://prod/shop",
        "PGHOST": "prod",
        "PGPASSWORD": "hunter2",
    }

    class Watched(dict):
        def __getitem__(self, name):
            assert name.startswith("FRESHPG_") or name == "CI"
            return super().__getitem__(name)

        def get(self, name, default=None):
            assert name.startswith("FRESHPG_") or name == "CI"
            return super().get(name, default)

    settings = load_settings(load().root, environment=Watched(environment))
    assert settings == load()
    assert "prod" not in repr(settings)


def test_variables_that_are_no_settings_pass(load):
    others = dict.fromkeys(
        ("FRESHPG_URL", "FRESHPG_CACHE", "FRESHPG_RUN_AS", "FRESHPG_RUNTIME"), "x"
    )
    assert load(**others) == load()


@pytest.mark.parametrize(
    "variable, nearest",
    [
        ("FRESHPG_SERVR", "FRESHPG_SERVER"),
        ("FRESHPG_DATABASES_MAIN_MIGRATION", "FRESHPG_DATABASES_MAIN_MIGRATIONS"),
        ("FRESHPG_DATABASE_MAIN_NAME", "FRESHPG_DATABASES_MAIN_NAME"),
        ("FRESHPG_CACH", "FRESHPG_CACHE"),
        ("FRESHPG_SETTINGS", ""),
        ("FRESHPG_DATABASES__NAME", "FRESHPG_DATABASES_MAIN_NAME"),
        ("FRESHPG_ROOT", ""),
    ],
)
def test_an_unknown_variable_is_an_error_with_the_nearest_and_without_its_value(
    load, variable, nearest
):
    with pytest.raises(SettingsInvalid) as caught:
        load(**{variable: "hunter2"})
    assert caught.value.on == variable
    assert caught.value.nearest == nearest or not nearest
    assert "hunter2" not in str(caught.value)


def test_an_empty_variable_counts_as_unset(load):
    assert load(FRESHPG_SERVER="", FRESHPG_KEEP=" ") == load()


def test_the_environment_reaches_blueprints_whatever_their_spelling(load):
    text = MAIN + "[tool.freshpg.databases.Event-store]\nmigrations = []\n"
    environment = {
        "FRESHPG_DATABASES_EVENT_STORE_NAME": "es_test",
        "FRESHPG_DATABASES_MAIN_MIGRATIONS": "b.sql, c.sql",
    }
    settings = load(text, **environment)
    assert settings.databases["Event-store"].name == "es_test"
    assert settings.databases["main"].migrations == ("b.sql", "c.sql")


def test_a_variable_that_means_two_blueprints_is_refused(load):
    text = "[tool.freshpg.databases]\na-b = { migrations = [] }\na_b = { migrations = [] }\n"
    with pytest.raises(SettingsInvalid, match="a-b and a_b"):
        load(text, FRESHPG_DATABASES_A_B_NAME="x")


def test_a_list_in_the_environment_may_be_a_toml_array(load):
    assert load(FRESHPG_EXTENSIONS="[\"a,b\", 'c']").extensions == ("a,b", "c")
    assert load(FRESHPG_DATABASES_MAIN_SEED="[]").databases["main"].seed == ()
    with pytest.raises(SettingsInvalid, match="FRESHPG_EXTENSIONS"):
        load(FRESHPG_EXTENSIONS="[a, b]")


def test_the_environment_alone_may_name_the_one_database(load):
    settings = load(FRESHPG_DATABASES_MAIN_NAME="shop_test")
    assert settings.databases["main"].name == "shop_test"
    assert settings.databases["main"].migrations == ()


def test_an_option_not_given_changes_nothing(load):
    assert load(overrides={"server": (None, "--pg-server")}) == load()


def test_an_unknown_option_key_is_an_error(load):
    with pytest.raises(SettingsInvalid, match="did you mean server"):
        load(overrides={"sever": ("x", "--x")})


@pytest.mark.parametrize(
    "line, key, said",
    [
        ('lingr = "1s"', "lingr", "did you mean linger"),
        ("databasses.main.name = 'x'", "databasses", "did you mean databases"),
        ("root = '/'", "root", "unknown key"),
        ("origins = {}", "origins", "unknown key"),
        ("server = 5", "server", "5 (int)"),
        ('server = ""', "server", "empty"),
        ('server = "sytem"', "server", "did you mean system"),
        ('server = "docker"', "server", "neither a known word"),
        ('postgres = "18.6"', "postgres", "18.6"),
        ("postgres = 14", "postgres", "out of range"),
        ("postgres = 19", "postgres", "out of range"),
        ("postgres = true", "postgres", "True (bool)"),
        ("isolation = 3", "isolation", "one of readonly"),
        ('linger = "ten minutes"', "linger", "ten minutes"),
        ("linger = -1", "linger", "out of range"),
        ("linger = inf", "linger", "out of range"),
        ("linger = nan", "linger", "out of range"),
        ("linger = true", "linger", "a duration"),
        ("deadline = 0", "deadline", "above 0"),
        ('superuser = "true"', "superuser", "true or false"),
        ("allow_create = 1", "allow_create", "true or false"),
        ("stock = -1", "stock", "out of range"),
        ("stock = 1.0", "stock", "whole number"),
        ("stock = true", "stock", "whole number"),
        ('keep = "5"', "keep", "'5' (str)"),
        ("images_max = 0", "images_max", "out of range"),
        ('images_max_size = "2 parsecs"', "images_max_size", "a size"),
        ("images_max_size = 1.5", "images_max_size", "a size"),
        ('extensions = "pg_trgm"', "extensions", "brackets"),
        ('extensions = ["a", 3]', "extensions", "item 2 is not a string"),
        ('extensions = ["a", ""]', "extensions", "item 2: it is empty"),
        ('extensions = ["\\u0000"]', "extensions", "NUL"),
        ('locale = ""', "locale", "empty"),
        ("settings = 3", "settings", "a table of server parameters"),
        ("databases = 3", "databases", "a table of tables"),
        ("databases = [{}]", "databases", "a table of tables"),
        ("databases.main = 3", "databases.main", "a table with name and migrations"),
    ],
)
def test_a_wrong_key_type_or_range_is_refused_with_file_and_line(load, tmp_path, line, key, said):
    with pytest.raises(SettingsInvalid) as caught:
        load(f"\n\n{tool(line)}")
    assert caught.value.on == f"{key} in {tmp_path / 'pyproject.toml'}:4"
    assert said in str(caught.value)
    assert (caught.value.key, caught.value.line) == (key, 4)


@pytest.mark.parametrize(
    "environment, said",
    [
        ({"FRESHPG_KEEP": "many"}, "'many' (str)"),
        ({"FRESHPG_KEEP": "٣"}, "whole number"),
        ({"FRESHPG_SUPERUSER": "maybe"}, "true or false"),
        ({"FRESHPG_POSTGRES": "latest"}, "major version"),
        ({"FRESHPG_LINGER": "1 parsec"}, "a duration"),
        ({"FRESHPG_DATABASES_MAIN_SUPERUSER": "2"}, "true or false"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(load, environment, said):
    with pytest.raises(SettingsInvalid) as caught:
        load(**environment)
    assert f"environment {next(iter(environment))}" in caught.value.on
    assert said in str(caught.value)


def test_an_unknown_level_is_an_error_of_its_own_with_the_nearest(load):
    for line in ('isolation = "clon"', 'databases.main = { migrations = [], isolation = "clon" }'):
        with pytest.raises(IsolationUnknown, match="did you mean clone") as caught:
            load(tool(line))
        assert "pyproject.toml:2" in caught.value.on


def test_an_unknown_key_of_a_database_is_refused_with_its_line(load):
    with pytest.raises(
        SettingsInvalid, match=r"did you mean databases\.main\.migrations"
    ) as caught:
        load(MAIN + 'migration = ["a.sql"]\n')
    assert caught.value.on.endswith("pyproject.toml:4")


def test_a_database_without_migrations_is_refused_and_told_how_to_be_empty(load):
    for text in (MAIN.rpartition("migrations")[0], tool("databases.main = {}")):
        with pytest.raises(BlueprintInvalid, match=r"write migrations = \[\] if it shall be empty"):
            load(text)
    with pytest.raises(BlueprintInvalid):
        Settings(databases={"main": DatabaseSettings(name="x")})
    assert load(tool("databases.main = { migrations = [] }")).databases["main"].migrations == ()


def test_a_name_left_out_is_made_of_folder_and_blueprint(load, tmp_path):
    settings = load(
        tool("databases = { main = { migrations = [] }, event-store = { migrations = [] } }")
    )
    names = {name: database.name for name, database in settings.databases.items()}
    assert names["main"].endswith("_test")
    assert names["event-store"].endswith("_event_store_test")


def test_a_name_that_cannot_be_used_is_refused_with_its_line(load):
    with pytest.raises(NameInvalid) as caught:
        load(MAIN.replace("shop_test", "postgres"))
    assert caught.value.on.startswith("databases.main.name in ")
    assert "pyproject.toml:2" in caught.value.on


def test_an_address_that_cannot_be_used_is_refused_with_its_line_and_without_its_password(load):
    with pytest.raises(UrlInvalid) as caught:
        load(tool('server = "postgresql://u:hunter2@h:port/d"'))
    assert "pyproject.toml:2" in caught.value.on
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "second",
    [
        "shop_test",
        "shop_test_2",
        "shop_test_readonly",
        "shop_test_failed_1",
        "shop_test_used_1",
        "shop_test_template_1a2b",
        "shop_test_building_0f",
    ],
)
def test_two_blueprints_cannot_share_a_database_nor_its_endings(load, second):
    with pytest.raises(BlueprintInvalid, match="two blueprints") as caught:
        load(f'{MAIN}[tool.freshpg.databases.other]\nname = "{second}"\nmigrations = []\n')
    assert "pyproject.toml:2" in caught.value.on
    assert "pyproject.toml:5" in caught.value.on
    assert set(caught.value.blueprints) == {"main", "other"}


def test_names_that_only_begin_alike_are_fine(load):
    settings = load(
        f'{MAIN}[tool.freshpg.databases.other]\nname = "shop_test_two"\nmigrations = []\n'
    )
    assert list(settings.databases) == ["main", "other"]


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", "é"])
def test_a_blueprint_needs_a_plain_name(name):
    with pytest.raises(SettingsInvalid):
        Settings(databases={name: {"migrations": []}})


@pytest.mark.parametrize(
    "level", ['isolation = "server"', 'databases.main = { migrations = [], isolation = "server" }']
)
def test_a_server_of_its_own_contradicts_a_server_by_address(load, level):
    with pytest.raises(SettingsInvalid, match="contradict") as caught:
        load(tool(f'server = "postgresql://h/d"\n{level}'))
    assert "pyproject.toml:2" in caught.value.on
    assert "pyproject.toml:3" in caught.value.on


def test_nothing_shows_the_password_of_the_server(load):
    url = "postgresql://u:hunter2@h:5432/postgres"
    settings = load(tool(f'server = "{url}"\nsettings = {{ app.password = "hunter2" }}'))
    rows = settings.describe()
    assert "hunter2" not in f"{settings!r} {settings} {rows}"
    assert ("server", '"postgresql://u:***@h:5432/postgres"') in [row[:2] for row in rows]
    assert settings.conninfo.password == "hunter2"
    assert Settings().conninfo is None


def test_keywords_are_an_address_too():
    assert Settings(server="host=/run user=u").conninfo.host == "/run"


def test_every_key_is_described_once(load):
    rows = load(MAIN + tool("settings.work_mem = '1MB'")).describe()
    keys = [row.key for row in rows]
    expected = {"root", "settings.work_mem", *(FIELDS.keys() - {"settings"})}
    assert set(keys) == expected | {f"databases.main.{field}" for field in DATABASE_FIELDS}
    assert len(keys) == len(set(keys))
    assert all(row.value and str(row.origin) for row in rows)


def test_settings_made_in_code_are_checked_and_converted_alike():
    settings = Settings(
        server="system",
        linger="10m",
        extensions=["pg_trgm"],
        databases={
            "main": {"name": "a_test", "migrations": ["x.sql"]},
            "b": DatabaseSettings(name="b", migrations=()),
        },
    )
    assert settings.extensions == ("pg_trgm",)
    assert settings.databases["main"].migrations == ("x.sql",)
    assert settings.databases["b"].blueprint == "b"
    assert str(settings.origin("server")) == "call argument"
    assert str(settings.origin("keep")) == "default"
    with pytest.raises(SettingsInvalid, match="keep in call argument"):
        Settings(keep="x")
    with pytest.raises(TypeError):
        Settings(kep=1)


def test_with_changes_one_value_and_its_origin_alone(load):
    settings = load(tool('isolation = "clone"\nkeep = 1'))
    changed = settings.with_("--pg-isolation", isolation="reset")
    assert str(changed.origin("isolation")) == "--pg-isolation"
    assert changed.with_(isolation="clone") == settings
    assert str(changed.origin("keep")) == "pyproject.toml:3"
    with pytest.raises(IsolationUnknown):
        settings.with_(isolation="x")


def test_a_database_inherits_what_it_does_not_say(load):
    text = (
        tool('isolation = "clone"\nsuperuser = true\nextensions = ["a", "b"]\ndeadline = "1m"')
        + MAIN
    )
    own = load(text + 'extensions = ["b", "c"]\nsuperuser = false\n').database("main")
    assert own.extensions == ("a", "b", "c")
    assert (own.superuser, own.isolation, own.deadline) == (False, "clone", 60.0)
    assert load(text).database().superuser is True


def test_an_unknown_database_is_refused_with_the_nearest(load):
    with pytest.raises(BlueprintInvalid, match="did you mean main"):
        load().database("mian")


def test_settings_are_data(load):
    settings = load(MAIN)
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings
    assert copy.origins == settings.origins
    with pytest.raises(AttributeError):
        settings.keep = 3


def test_every_refusal_is_a_configuration_error_the_user_can_mend(load):
    for line in ("x = 1", "keep = 'x'", 'isolation = "x"', 'server = "a://"', "databases.a = {}"):
        with pytest.raises(ConfigurationError) as caught:
            load(tool(line))
        assert caught.value.origin == "yours"
        assert caught.value.todo
