"""``freshpg run`` as a user starts it, on the real embedded server."""

import json
import os
import shutil
import subprocess
import sys

import pytest

PSQL = shutil.which("psql") or "psql"
needs_psql = pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

pytestmark = pytest.mark.timeout(120)

TERMINAL_FIRST = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
ASK = "import os, psycopg; print(psycopg.connect(os.environ['DATABASE_URL']).execute({!r}).fetchone())"


def python(query):
    return (sys.executable, "-c", ASK.format(query))


def variables(freshpg, *words):
    ended = freshpg(
        "run",
        *words,
        "--",
        sys.executable,
        "-c",
        "import json, os; print(json.dumps(dict(os.environ)))",
    )
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@needs_psql
def test_psql_finds_the_migrated_database_by_itself(freshpg):
    ended = freshpg("run", "--", "psql", "-Atc", "SELECT current_database(), name FROM customer")

    assert (ended.code, ended.out) == (0, "shop_test|Ada\n")


@needs_psql
def test_every_run_finds_the_database_as_the_migrations_left_it(freshpg):
    for _ in range(2):
        ended = freshpg(
            "run", "--", "psql", "-Atc", "INSERT INTO customer VALUES (2, 'Bob') RETURNING id"
        )
        assert ended.code == 0, ended.err


@needs_psql
def test_a_shell_pipeline_works_and_its_exit_code_is_passed_on(freshpg):
    pipeline = "psql -Atc 'SELECT name FROM customer' | tr a-z A-Z; exit 7"

    ended = freshpg("run", "--", "sh", "-c", pipeline)

    assert (ended.code, ended.out) == (7, "ADA\n")


@needs_node
def test_a_node_script_finds_it_in_its_environment(freshpg, project):
    (project / "look.js").write_text(
        "const fs = require('fs');\n"
        "const url = new URL(process.env.DATABASE_URL.replace('@/', '@localhost/'));\n"
        "fs.statSync(`${process.env.PGHOST}/.s.PGSQL.${process.env.PGPORT}`);\n"
        "console.log(url.pathname, process.env.FRESHPG_URL === process.env.DATABASE_URL);\n"
    )

    ended = freshpg("run", "--", "node", "look.js")

    assert (ended.code, ended.out) == (0, "/shop_test true\n"), ended.err


@needs_node
def test_a_node_script_reaches_a_port(freshpg, project):
    (project / "connect.js").write_text(
        "const socket = require('net').connect(process.env.DB_PORT, process.env.DB_HOST);\n"
        "socket.on('connect', () => { console.log('reached'); socket.end(); });\n"
    )

    ended = freshpg(
        "run",
        "--tcp",
        "0",
        "--set",
        "DB_HOST={host}",
        "--set",
        "DB_PORT={port}",
        "--",
        "node",
        "connect.js",
    )

    assert (ended.code, ended.out) == (0, "reached\n"), ended.err


def test_what_the_caller_is_connected_to_does_not_shine_through(freshpg):
    outer = {
        "PGHOST": "elsewhere",
        "PGSERVICE": "prod",
        "PGSSLMODE": "verify-full",
        "DATABASE_URL": "postgresql://prod/",
    }

    ended = freshpg("run", "--", *python("SELECT current_database()"), env=outer)

    assert ended.out == "('shop_test',)\n", ended.err


def test_standard_input_is_the_programs(freshpg):
    ended = freshpg("run", "--", "cat", typed="from outside\n")

    assert (ended.code, ended.out) == (0, "from outside\n"), ended.err


def test_options_of_the_program_need_no_dashes_before_them(freshpg):
    ended = freshpg("run", "sh", "-c", "exit 3")

    assert ended.code == 3


@pytest.mark.parametrize("signal, code", [("TERM", 143), ("KILL", 137)])
def test_a_program_ended_by_a_signal_is_told_as_a_shell_tells_it(freshpg, signal, code):
    assert freshpg("run", "--", "sh", "-c", f"kill -{signal} $$").code == code


def test_a_command_that_does_not_exist_is_127_before_anything_is_made(freshpg):
    ended = freshpg("run", "--", "no-such-program")

    assert ended.code == 127
    assert ended.err.startswith("FPG-C07 ")
    assert "no command of this name" in ended.err


def test_a_file_that_may_not_be_executed_is_126(freshpg, project):
    (project / "script").write_text("#!/bin/sh\n")

    ended = freshpg("run", "--", "./script")

    assert ended.code == 126
    assert "chmod +x ./script" in ended.err


def test_own_names_for_variables_are_filled_in(freshpg):
    seen = variables(
        freshpg,
        "--set",
        "TEST_DSN={url}",
        "--set",
        "ALCHEMY={url:sqlalchemy+psycopg}",
        "--set",
        "SOCKETS={socket}",
    )

    assert seen["TEST_DSN"] == seen["DATABASE_URL"]
    assert seen["ALCHEMY"].startswith("postgresql+psycopg://postgres@/shop_test?")
    assert seen["SOCKETS"] == seen["PGHOST"]


def test_the_database_is_called_as_asked(freshpg):
    ended = freshpg(
        "run", "--database", "app", "--", *python("SELECT current_database(), name FROM customer")
    )

    assert ended.out == "('app', 'Ada')\n", ended.err


def test_tests_are_no_superusers_unless_asked_for(freshpg):
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"

    assert freshpg("run", "--", *python(query)).out == "(False,)\n"
    assert freshpg("run", "--superuser", "--", *python(query)).out == "(True,)\n"


def test_a_server_of_its_own_may_be_reconfigured(freshpg):
    change = (
        "import os, psycopg; c = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n"
    )
    change += "c.execute(\"ALTER SYSTEM SET work_mem = '9MB'\"); c.execute('CREATE ROLE clerk')\n"
    change += "print(c.execute('SHOW wal_level').fetchone())"

    ended = freshpg("run", "--isolation", "server", "--", sys.executable, "-c", change)

    assert ended.out == "('logical',)\n", ended.err


@needs_psql
def test_a_port_on_loopback_wants_the_password(freshpg):
    words = "psql -wAtc 'SELECT inet_server_addr()'; env -u PGPASSWORD psql -wAtc 'SELECT 1' 2>&1; PGPASSWORD=guess psql -wAtc 'SELECT 1' 2>&1"

    ended = freshpg("run", "--tcp", "0", "--", "sh", "-c", words)

    lines = ended.out.splitlines()
    assert lines[0] == "127.0.0.1", ended
    assert "no password supplied" in lines[1]
    assert "password authentication failed" in ended.out


@needs_psql
def test_all_options_together(freshpg):
    ended = freshpg(
        "run", "--set", "TEST_DSN={url}", "--set", "DB_HOST={host}", "--set", "DB_PORT={port}",
        "--tcp", "0", "--superuser", "--database", "app", "--isolation", "server", "--",
        "sh", "-c", 'psql "$TEST_DSN" -Atc "SELECT current_database(), current_user, $DB_PORT = inet_server_port()"; echo $DB_HOST',
    )  # fmt: skip

    assert ended.out == "app|freshpg_superuser|t\n127.0.0.1\n", ended.err


def test_a_port_that_is_taken_says_so(freshpg):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = freshpg("run", "--tcp", port, "--", "true")

    assert ended.code == 3
    # A line of progress may come first, where building the template took long.
    assert "FPG-S07 " in [line[:8] for line in ended.err.splitlines()]
    assert "--tcp" in ended.err


def test_two_blueprints_are_told_apart(freshpg, project):
    with (project / "pyproject.toml").open("a") as file:
        file.write('[tool.freshpg.databases.events]\nname = "shop_events"\nmigrations = []\n')

    ended = freshpg("run", "--blueprint", "events", "--", *python("SELECT current_database()"))

    assert ended.out == "('shop_events',)\n", ended.err


def test_a_kept_database_is_there_for_psql_and_gone_after_clean(freshpg, project):
    kept = freshpg("run", "--keep", "--", *python("SELECT name FROM customer"))
    assert "kept: freshpg psql shop_test_failed_1" in kept.err

    found = freshpg("psql", "shop_test_failed_1", "--json").json["found"]
    assert found["database"] == "shop_test_failed_1"
    if shutil.which("psql"):
        looked = freshpg("psql", "shop_test_failed_1", "--", "-Atc", "SELECT name FROM customer")
        assert looked.out == "Ada\n"

    cleaned = freshpg("clean", "--yes", "--json")
    assert cleaned.code == 0
    assert [
        (one["name"], one["done"])
        for one in cleaned.json["found"]
        if one["kind"] == "kept database"
    ] == [("shop_test_failed_1", True)]
    assert freshpg("status", "--json").json["servers"] == []


def test_the_report_is_one_object_on_standard_error(freshpg):
    ended = freshpg("run", "--json", "--", "sh", "-c", "echo data; exit 4")

    report = json.loads(ended.err[ended.err.index("{") :])
    assert (ended.code, ended.out) == (4, "data\n")
    assert report["schema"] == 1
    assert (report["exit_code"], report["database"], report["isolation"]) == (
        4,
        "shop_test",
        "reset",
    )
    assert report["server"]["provider"] in {"embedded", "system"}


@pytest.mark.parametrize("word", ["INT", "TERM"])
def test_an_interrupted_run_lets_the_program_end_and_leaves_nothing(
    command, freshpg, project, word
):
    script = (
        f"trap 'echo told; sleep 0.2; echo tidied; exit 5' {word}; echo ready; "
        "while :; do sleep 0.05; done"
    )
    process = command("run", "--", "sh", "-c", script, start_new_session=True)
    assert process.stdout.readline() == "ready\n"

    if word == "INT":
        # What a terminal does on Ctrl-C: everybody in the foreground group gets it.
        os.killpg(process.pid, 2)
    else:
        process.terminate()
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (5, "told\ntidied\n"), err
    assert freshpg("status", "--json").json["servers"] == []


def test_ctrl_c_is_130_when_the_program_dies_of_it(command):
    process = command("run", "--", "sh", "-c", "echo ready; exec sleep 30", start_new_session=True)
    process.stdout.readline()

    os.killpg(process.pid, 2)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in err


def test_the_program_stands_in_the_foreground_of_a_terminal(project):
    import pty

    program = "import os; print('foreground', os.tcgetpgrp(0) == os.getpgrp(), os.isatty(1))"
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL_FIRST, "-m", "freshpg", "run", "--", sys.executable, "-c", program],
        cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(terminal, 1024):
                said += chunk
        except OSError:  # how Linux tells that the other end is closed
            pass
    os.close(terminal)

    assert process.returncode == 0
    assert b"foreground True True" in said


LOSES_ITS_SERVER = """
import os, signal, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    (data,) = connection.execute("SHOW data_directory").fetchone()
    os.kill(int(open(data + "/postmaster.pid").readline()), signal.SIGKILL)
    try:
        while True: connection.execute("SELECT 1")
    except psycopg.OperationalError: print("gone")
"""


@pytest.mark.slow
def test_a_program_whose_server_is_lost_is_not_said_to_have_worked(freshpg, project):
    ended = freshpg("run", "--superuser", "--", sys.executable, "-c", LOSES_ITS_SERVER)

    assert (ended.code, ended.out) == (3, "gone\n")
    assert "FPG-S08" in ended.err
    lines = (project / ".freshpg" / "log" / "errors.jsonl").read_text().splitlines()
    (line,) = [line for line in map(json.loads, lines) if line["kind"] == "infrastructure"]
    assert (line["who"], line["code"]) == ("freshpg run", "FPG-S08")
