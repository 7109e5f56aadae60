"""The commands that look, keep up and clear away."""

import json
import os
import shutil
import subprocess
import sys

import click
import pytest

from freshpg.cli import app, main
from freshpg.cli.output import SCHEMA, ago, duration, size
from freshpg.core.clock import Deadline
from freshpg.core.conninfo import Conninfo

pytestmark = pytest.mark.timeout(120)


def test_every_command_has_examples_first_and_takes_json(here):
    for name, command in app.commands.items():
        shown = here(name, "--help").out
        assert shown.index("Examples:") < shown.index("Options:"), name
        assert f"freshpg {name}" in shown, name
        assert "--json" in {word for option in command.params for word in option.opts}, name


def test_the_short_word_of_every_command_fits_a_line():
    context = click.Context(app)

    for name, command in app.commands.items():
        assert not command.get_short_help_str(60).endswith("..."), name
        assert command.get_usage(context)


def test_no_words_at_all_is_answered_with_help_and_2(here):
    ended = here()

    assert ended.code == 2
    assert "Examples:" in ended.err


def test_an_unknown_command_is_answered_with_the_nearest(here):
    ended = here("staus")

    assert ended.code == 2
    assert "Did you mean status?" in ended.err


def test_an_unknown_option_is_a_usage_error(here):
    assert here("status", "--al").code == 2


def test_run_without_a_program_is_a_usage_error(here):
    assert here("run").code == 2


def test_a_wrong_level_is_a_usage_error_with_the_nearest_and_starts_nothing(here):
    ended = here("run", "--isolation", "servr", "--", "true")

    assert ended.code == 2
    assert ended.err.startswith("FPG-C05 ")
    assert "'server'" in ended.err


def test_an_error_is_its_block_on_standard_error_and_an_object_for_programs(here, project):
    (project / "pyproject.toml").write_text("[tool.freshpg]\nsevrer = 'auto'\n")

    ended = here("config", "--json")

    assert ended.code == 2
    assert ended.err.startswith("FPG-C01 ")
    assert "Traceback" not in ended.err
    assert ended.json["error"]["code"] == "FPG-C01"
    assert ended.json["error"]["do"][0] == "did you mean server?"


def test_debug_shows_where_an_error_came_from(freshpg, project):
    (project / "pyproject.toml").write_text("[tool.freshpg]\nsevrer = 'auto'\n")

    assert "Traceback" in freshpg("config", "--debug").err


def test_config_says_where_each_value_came_from(here, project, monkeypatch):
    monkeypatch.setenv("FRESHPG_STOCK", "7")

    ended = here("config", "--json")

    rows = {row["key"]: row for row in ended.json["settings"]}
    assert ended.json["schema"] == SCHEMA
    assert rows["stock"]["origin"] == "environment FRESHPG_STOCK"
    assert (rows["linger"]["line"], rows["linger"]["file"]) == (2, str(project / "pyproject.toml"))
    assert rows["databases.main.name"]["value"] == '"shop_test"'
    assert "environment FRESHPG_STOCK" in here("config").out


def test_config_shows_no_password(here, monkeypatch):
    monkeypatch.setenv("FRESHPG_SERVER", "postgresql://me:hunter2@db.example/postgres")

    assert "hunter2" not in here("config").out + here("config", "--json").out


def test_doctor_says_who_serves_and_why(here):
    ended = here("doctor", "--json")

    found = ended.json
    assert (ended.code, found["schema"], found["good"], found["error"]) == (0, SCHEMA, True, None)
    topics = {one["topic"] for one in found["findings"]}
    assert {"server", "programs", "user", "storage", "keeper", "cache"} <= topics
    taken = [one for one in found["findings"] if one["topic"] == "server" and one["good"]]
    assert len(taken) == 1
    assert taken[0]["name"] in {"embedded", "system"}
    assert "PostgreSQL runs as" in here("doctor").out


def test_doctor_ends_with_3_when_no_server_is_to_be_had(here, monkeypatch):
    monkeypatch.setenv("FRESHPG_SERVER", "postgresql://nobody@127.0.0.1:1/postgres")

    ended = here("doctor", "--json")

    assert ended.code == 3
    assert ended.json["good"] is False
    assert ended.json["error"]["code"] == "FPG-S02"


def test_doctor_names_the_extension_that_is_missing(here, project):
    with (project / "pyproject.toml").open("a") as file:
        file.write('extensions = ["no_such_extension"]\n')

    ended = here("doctor")

    assert ended.code == 1
    assert "has not: no_such_extension" in ended.out


def test_doctor_makes_nothing(here, monkeypatch, tmp_path):
    monkeypatch.setenv("FRESHPG_RUNTIME", str(tmp_path / "run"))
    monkeypatch.setenv("FRESHPG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "run").mkdir()

    here("doctor")
    here("status")
    here("templates")
    here("clean")

    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("words", [("status",), ("templates",), ("clean",), ("down",)])
def test_where_nothing_is_there_is_nothing_to_tell(here, words):
    ended = here(*words, "--json")

    assert ended.code == 0
    assert ended.json["schema"] == SCHEMA


def test_up_stays_up_is_found_again_and_ends_with_down(freshpg, here, project):
    first = freshpg("up", "--json")
    again = here("up", "--json")

    url = first.json["databases"]["main"]["url"]
    assert (first.code, again.code) == (0, 0)
    assert (first.json["found"], again.json["found"]) == (False, True)
    assert again.json["databases"]["main"]["url"] == url
    assert names_in(url) == ["Ada"]

    (server,) = here("status", "--json").json["servers"]
    assert (server["state"], server["project"]) == ("up", str(project))
    assert {(one["name"], one["kind"]) for one in server["databases"]} >= {("shop_test", "slot")}
    assert "up" in here("status").out

    ended = here("down", "--json")
    assert [one["id"] for one in ended.json["stopped"]] == [server["id"]]
    assert here("status", "--json").json["servers"] == []


def test_up_replaces_a_server_whose_migrations_changed_and_says_so(freshpg, here, project):
    first = freshpg("up", "--json").json
    schema = project / "schema.sql"
    schema.write_text(schema.read_text() + "INSERT INTO customer VALUES (2, 'Grace');\n")

    again = freshpg("up", "--json")

    assert again.code == 0
    assert "stale" in again.err
    assert not again.json["found"]
    assert again.json["server"] != first["server"]
    assert names_in(again.json["databases"]["main"]["url"]) == ["Ada", "Grace"]
    assert [one["id"] for one in here("status", "--json").json["servers"]] == [again.json["server"]]


def test_a_migration_that_fails_leaves_the_server_up_as_it_is(freshpg, here, project):
    url = freshpg("up", "--json").json["databases"]["main"]["url"]
    (project / "schema.sql").write_text("CREATE TABLE nonsense (;\n")

    again = freshpg("up")

    assert again.code != 0
    assert "schema.sql" in again.err
    assert names_in(url) == ["Ada"]


def test_a_run_beside_a_server_that_is_up_does_not_touch_it(freshpg, here):
    url = freshpg("up", "--json").json["databases"]["main"]["url"]
    with connected(url) as connection:
        connection.execute("UPDATE customer SET name = 'Grace'")

    ended = freshpg(
        "run", "--", sys.executable, "-c", "import os; print(os.environ['DATABASE_URL'])"
    )

    assert ended.out.strip() != url
    assert names_in(url) == ["Grace"]


def test_up_prints_what_a_shell_evaluates(freshpg):
    ended = freshpg("up", "--tcp")

    shell = subprocess.run(
        ["sh", "-c", f'{ended.out}\necho "$PGHOST $PGDATABASE"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "127.0.0.1 shop_test\n"


def test_up_with_a_port_is_found_again_with_its_password(freshpg, here):
    first = freshpg("up", "--tcp", "--json").json
    again = here("up", "--tcp", "--json").json

    assert first["databases"] == again["databases"]
    url = first["databases"]["main"]["url"]
    assert names_in(url) == ["Ada"]
    password = Conninfo.parse(url).password
    shown = here("status").out + here("status", "--json").out + here("doctor").out
    assert password
    assert password not in shown


def test_a_second_up_on_another_port_says_that_one_is_up(freshpg, here):
    freshpg("up")

    ended = here("up", "--tcp", "5999")

    assert ended.code == 2
    assert "freshpg down" in ended.err


def test_down_leaves_a_server_in_use_unless_forced(command, here):
    process = command("run", "--", "sh", "-c", "echo ready; exec sleep 30")
    process.stdout.readline()

    left = here("down", "--json")
    assert left.code == 1
    assert left.json["in_use"][0]["owner"]["pid"] == process.pid
    assert [one["state"] for one in here("status", "--json").json["servers"]] == ["owned"]

    assert here("down", "--force").code == 0
    process.terminate()
    process.communicate(timeout=20)


def server_once_held(here):
    """The one server, as ``status`` tells it, once a slot has a holder: a lease's own connection opens beside the hand-out."""
    end = Deadline(10.0)
    while True:
        (server,) = here("status", "--json").json["servers"]
        if any(one["holders"] for one in server["databases"] if one["kind"] == "slot"):
            return server
        assert not end.expired


def test_status_names_the_holder_of_a_database(command, here):
    process = command("run", "--", "sh", "-c", "echo ready; exec sleep 30")
    process.stdout.readline()

    server = server_once_held(here)
    text = here("status").out
    process.terminate()
    process.communicate(timeout=20)

    (slot,) = [one for one in server["databases"] if one["kind"] == "slot"]
    (holder,) = slot["holders"]
    assert holder["pid"] == process.pid
    assert holder["test"].startswith("sh -c")
    assert holder["since"]
    assert f"pid {process.pid}" in text


def test_psql_finds_the_database_a_program_is_using(command, here):
    process = command("run", "--", "sh", "-c", "echo ready; exec sleep 30")
    process.stdout.readline()
    server_once_held(here)

    found = here("psql", "shop_test", "--json").json["found"]
    process.terminate()
    process.communicate(timeout=20)

    assert found["database"] == "shop_test"
    assert f"pid {process.pid}" in found["what"]


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_opens_a_fresh_database_of_the_project(freshpg):
    ended = freshpg("psql", "--", "-Atc", "SELECT name FROM customer")

    assert (ended.code, ended.out) == (0, "Ada\n")


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_takes_what_is_typed_and_passes_its_exit_code_on(freshpg):
    ended = freshpg(
        "psql", "main", "--", "-Atv", "ON_ERROR_STOP=1", typed="SELECT 42;\nSELECT nothing;\n"
    )

    assert (ended.code, ended.out) == (3, "42\n")


def test_psql_answers_an_unknown_name_with_the_nearest(here):
    ended = here("psql", "mian")

    assert ended.code == 2
    assert "did you mean main?" in ended.err


def test_templates_lists_the_image_a_run_made(freshpg, here, project):
    freshpg("run", "--", "true")

    found = here("templates", "--json").json
    image = next(one for one in found["images"] if "main" in one["databases"])
    assert found["schema"] == SCHEMA
    assert image["size"] > 1_000_000
    assert image["build_seconds"] > 0
    assert image["used"] >= image["made"] > 0
    assert image["key"][:12] in here("templates").out


def test_old_images_go_when_told_and_those_that_fit_stay(here, project, monkeypatch, tmp_path):
    monkeypatch.setenv("FRESHPG_CACHE", str(tmp_path / "cache"))
    with (project / "pyproject.toml").open() as file:
        text = file.read()
    (project / "pyproject.toml").write_text(
        text.replace("linger = 0", "linger = 0\nimages_max = 1")
    )
    subprocess.run(
        [sys.executable, "-m", "freshpg", "run", "--", "true"], check=True, capture_output=True
    )
    before = here("templates", "--json").json["images"]

    would = here("clean", "--json").json["found"]
    removed = here("templates", "--remove-old", "--json").json["removed"]

    assert {one["name"].split()[0] for one in would if one["kind"] == "image"} == set(removed)
    assert len(here("templates", "--json").json["images"]) == len(before) - len(removed) <= 1


def test_clean_shows_first_and_removes_when_told(here, project, monkeypatch, tmp_path):
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o711)
    monkeypatch.setenv("FRESHPG_RUNTIME", str(runtime))
    lost = runtime / f"freshpg-{os.geteuid()}" / "servers" / "0123456789abcdef"
    lost.mkdir(parents=True, mode=0o700)

    shown = here("clean", "--json")
    assert lost.exists()
    assert [one["name"] for one in shown.json["found"] if one["kind"] == "runtime directory"] == [
        str(lost)
    ]
    assert "freshpg clean --yes" in here("clean").out

    cleaned = here("clean", "--yes", "--json")
    assert cleaned.code == 0, cleaned.out
    assert not lost.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(here, shell):
    ended = here("completion", shell)

    assert ended.code == 0
    assert "_FRESHPG_COMPLETE" in ended.out


def test_the_completion_of_bash_completes(freshpg):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    words = {"COMP_WORDS": "freshpg te", "COMP_CWORD": "1", "_FRESHPG_COMPLETE": "bash_complete"}

    assert "templates" in freshpg(env=words).out


def test_color_is_for_terminals_and_for_those_who_force_it(here, monkeypatch):
    assert "\x1b[" not in here("doctor").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in here("doctor").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in here("doctor").out


def test_a_reader_that_has_seen_enough_is_no_error(project):
    pipeline = f"{sys.executable} -m freshpg config --json | head -n 1"

    ended = subprocess.run(
        ["sh", "-c", pipeline], capture_output=True, text=True, check=False, cwd=project
    )

    assert ended.stdout == "{\n"
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "shown, text",
    [
        (size(None), "?"), (size(999), "999 B"), (size(6_300_000), "6.3 MB"), (size(2_500_000_000), "2.5 GB"),
        (duration(0.0034), "3.4 ms"), (duration(1.23), "1.2 s"), (duration(600), "10 min"),
        (duration(7200), "2 h"), (duration(864_000), "10 d"), (ago(0), "-"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_a_person(shown, text):
    assert shown == text


def test_python_m_is_the_same_command(freshpg):
    assert freshpg("--version").out.startswith("freshpg, version ")


def test_main_can_be_called_with_words():
    assert main(["config", "--json"]) == 0


def connected(url):
    import psycopg

    return psycopg.connect(url, autocommit=True)


def names_in(url):
    with connected(url) as connection:
        return [
            name
            for (name,) in connection.execute("SELECT name FROM customer ORDER BY id").fetchall()
        ]


def test_what_a_command_failed_of_is_in_the_log_of_errors(project, here, monkeypatch):
    monkeypatch.setenv("FRESHPG_SERVER", "postgresql://ada:SECRET-canary@127.0.0.1:1/shop")
    assert here("templates").code == 3
    (line,) = (project / ".freshpg" / "log" / "errors.jsonl").read_text().splitlines()
    written = json.loads(line)
    assert (written["kind"], written["who"]) == ("infrastructure", "freshpg templates")
    assert "SECRET" not in line


def test_a_mistake_in_the_settings_leaves_no_log(project, here):
    (project / "pyproject.toml").write_text("[tool.freshpg]\nisolation = 'none'\n")
    assert here("templates").code == 2
    assert not (project / ".freshpg").exists()
