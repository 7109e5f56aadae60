"""What a user may write wrongly: a typed error from Python, a short block and an exit code from the command line."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

import pytest

from freshpg.cli import main
from freshpg.core import errors
from freshpg.manager import DatabaseManager

MAIN = '[databases.main]\nname = "shop_test"\nmigrations = ["schema.sql"]\n'


@dataclass(frozen=True)
class Case:
    """Files of a project, what is said about them, and the exit code of the command line."""

    error: type[errors.FreshpgError]
    said: tuple[str, ...]
    exit_code: int = 2
    settings: str = MAIN
    files: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


C, T = errors.ConfigurationError, errors.TemplateError
CASES = {
    "an unknown key": Case(
        errors.SettingsInvalid,
        ("freshpg.toml:1", "isolatoin", "did you mean isolation?"),
        settings='isolatoin = "clone"\n' + MAIN,
    ),
    "an unknown key of a database": Case(
        errors.SettingsInvalid,
        ("freshpg.toml:4", "migration", "migrations"),
        settings=MAIN + 'migration = ["b.sql"]\n',
    ),
    "a number where a list belongs": Case(
        errors.SettingsInvalid,
        ("freshpg.toml:3", "databases.main.migrations"),
        settings='[databases.main]\nname = "shop_test"\nmigrations = 5\n',
    ),
    "a word where a number belongs": Case(
        errors.SettingsInvalid, ("freshpg.toml:1", "keep"), settings='keep = "many"\n' + MAIN
    ),
    "a duration that is none": Case(
        errors.SettingsInvalid, ("freshpg.toml:1", "linger"), settings='linger = "soon"\n' + MAIN
    ),
    "a version that is none": Case(
        errors.SettingsInvalid, ("freshpg.toml:1", "postgres"), settings='postgres = "new"\n' + MAIN
    ),
    "text that is no TOML": Case(
        errors.SettingsInvalid, ("freshpg.toml:2",), settings='stock = 1\nisolation = "cl\n'
    ),
    "an unknown level": Case(
        errors.IsolationUnknown,
        ("freshpg.toml:1", "clome", "clone"),
        settings='isolation = "clome"\n' + MAIN,
    ),
    "a blueprint without migrations": Case(
        errors.BlueprintInvalid,
        ("freshpg.toml:1", "migrations"),
        settings='[databases.main]\nname = "shop_test"\n',
    ),
    "two blueprints with one database": Case(
        errors.BlueprintInvalid,
        ("shop_test", "main", "other"),
        settings=MAIN + '[databases.other]\nname = "shop_test"\nmigrations = ["schema.sql"]\n',
    ),
    "a blueprint that would take another's slot": Case(
        errors.BlueprintInvalid,
        ("shop_test_2", "main", "other"),
        settings=MAIN + '[databases.other]\nname = "shop_test_2"\nmigrations = ["schema.sql"]\n',
    ),
    "a server that is no word nor address": Case(
        errors.ConfigurationError,
        ("freshpg.toml:1", "server"),
        settings='server = "embeded"\n' + MAIN,
    ),
    "an unknown variable": Case(
        errors.SettingsInvalid,
        ("FRESHPG_ISOLATOIN", "FRESHPG_ISOLATION"),
        environment={"FRESHPG_ISOLATOIN": "clone"},
    ),
    "a missing file": Case(
        errors.MigrationMissing,
        ("nowhere.sql",),
        exit_code=1,
        settings=MAIN.replace("schema.sql", "nowhere.sql"),
    ),
    "a missing directory": Case(
        errors.MigrationMissing,
        ("db/migrations",),
        exit_code=1,
        settings=MAIN.replace("schema.sql", "db/migrations"),
    ),
    "a pattern nothing fits": Case(
        errors.MigrationMissing,
        ("db/*.sql",),
        exit_code=1,
        settings=MAIN.replace("schema.sql", "db/*.sql"),
    ),
    "a missing module": Case(
        errors.MigrationMissing,
        ("shop_nowhere",),
        exit_code=1,
        settings=MAIN.replace("schema.sql", "call:shop_nowhere:make"),
    ),
    "a missing program": Case(
        errors.MigrationMissing,
        ("no-such-program",),
        exit_code=1,
        settings=MAIN.replace("schema.sql", "run:no-such-program --now"),
    ),
    "an unknown kind of step": Case(
        errors.BlueprintInvalid,
        ("alembik", "alembic"),
        settings=MAIN.replace("schema.sql", "alembik:alembic.ini"),
    ),
    "a file that is not UTF-8": Case(
        errors.MigrationUnreadable,
        ("schema.sql:2", "UTF-8"),
        exit_code=1,
        files={"schema.sql": b"CREATE TABLE a ();\nSELECT 'caf\xe9';\n"},
    ),
    "a file in UTF-16": Case(
        errors.MigrationUnreadable,
        ("schema.sql", "UTF-16"),
        exit_code=1,
        files={"schema.sql": "CREATE TABLE a ();\n".encode("utf-16")},
    ),
    "a psql command that connects elsewhere": Case(
        errors.MetaCommandRefused,
        ("schema.sql:2", r"\connect"),
        exit_code=1,
        files={"schema.sql": b"CREATE TABLE a ();\n\\connect production\n"},
    ),
    "a psql command that runs a program": Case(
        errors.MetaCommandRefused,
        ("schema.sql:1", r"\!"),
        exit_code=1,
        files={"schema.sql": b"\\! touch made-by-a-dump\n"},
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request, project, monkeypatch):
    wrong = request.param
    (project / "freshpg.toml").write_text(wrong.settings)
    for name, content in wrong.files.items():
        (project / name).write_bytes(content)
    for name, value in wrong.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project)
    return wrong


def test_python_gets_a_typed_error_that_says_where_and_what(case, project):
    before = sorted(project.rglob("*"))
    with pytest.raises(case.error) as caught, DatabaseManager.from_project(project) as manager:
        manager.acquire()
    text = str(caught.value)
    assert text.startswith(f"{caught.value.code} {caught.value.title}\n")
    assert all(words in text for words in case.said), text
    assert caught.value.todo
    assert len(text.splitlines()) < 20
    assert sorted(project.rglob("*")) == before


def test_the_command_line_prints_the_block_and_nothing_else(case, project, capfd):
    before = sorted(project.rglob("*"))
    assert main(["run", "--", "true"]) == case.exit_code
    # Where errors are written down.
    shutil.rmtree(project / ".freshpg", ignore_errors=True)
    out, err = capfd.readouterr()
    block = [line for line in err.splitlines() if not line.startswith("freshpg: ")]
    assert out == ""
    assert block[0].startswith("FPG-")
    assert all(line.startswith("  ") for line in block[1:])
    assert all(words in err for words in case.said), err
    assert sorted(project.rglob("*")) == before


def test_the_command_line_tells_programs_the_same(project, monkeypatch, capfd):
    import json

    (project / "freshpg.toml").write_text('isolatoin = "clone"\n')
    monkeypatch.chdir(project)
    assert main(["run", "--json", "--", "true"]) == 2
    told = json.loads(capfd.readouterr().out)
    assert told["error"]["code"] == "FPG-C01"
    assert told["error"]["do"]
