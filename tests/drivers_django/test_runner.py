"""``manage.py test`` with our runner."""

import json
import re
import signal

import pytest
from postgres_server import admin, server

__all__ = ["admin", "server"]

pytestmark = pytest.mark.timeout(200)

BROKEN = """
import os
from freshpg.drivers.django import TestRunner

class Broken(TestRunner):
    def run_checks(self, databases):
        os.environ["FRESHPG_ISOLATION"] = "nonsense"
"""


def test_every_test_starts_from_the_template(project, until_gone):
    outcome = project.manage_test("--timing")

    assert outcome.exit_code == 0, outcome.output
    assert len(outcome.tests) == 40
    assert set(outcome.tests.values()) == {"passed", "skipped", "xfailed"}
    used = re.findall(r"Using test database '(\w+?)(?:_\d+)?' for alias '(\w+)'", outcome.output)
    assert sorted(used) == [
        ("journal_test", "journal"),
        ("library_test", "default"),
        ("library_test", "replica"),
    ]
    assert until_gone() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, variables",
    [
        (["--reverse", "--keepdb"], {}),
        (["--shuffle", "7", "--debug-sql"], {}),
        (["--parallel", "2"], {}),
        (["--parallel", "2"], {"START_METHOD": "spawn"}),
    ],
)
def test_outcomes_are_the_same_in_every_order_and_in_several_processes(
    project, until_gone, options, variables
):
    plain = project.manage_test()
    outcome = project.manage_test(*options, **variables)

    assert outcome.exit_code == 0, outcome.output
    assert outcome.tests == plain.tests
    assert len(plain.tests) == 40
    assert until_gone() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        'DATABASES[one]["CONN_MAX_AGE"] = None',
        'DATABASES[one]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 4}',
        'DATABASES[one]["TEST"] = {**DATABASES[one].get("TEST", {}), "NAME": "chosen_by_hand"}',
    ],
)
def test_connections_may_be_kept_pooled_and_named(project, change):
    project.settings(f'for one in ("default", "replica", "journal"):\n    {change}')

    outcome = project.manage_test()

    assert outcome.exit_code == 0, outcome.output


def test_a_server_that_is_not_there_is_in_the_log_of_errors(project):
    outcome = project.manage_test(FRESHPG_SERVER="postgresql://ada@127.0.0.1:1/shop")

    assert outcome.exit_code == 1
    assert "CommandError: FPG-S" in outcome.output
    (line,) = (project.root / ".freshpg" / "log" / "errors.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "infrastructure"
    assert json.loads(line)["test"] == "manage.py test"


def test_tests_without_a_database_start_nothing(project):
    outcome = project.manage_test(
        "tests.test_rollbacks.NoDatabaseTests", FRESHPG_SERVER="postgresql://db.invalid/"
    )

    assert outcome.exit_code == 0, outcome.output
    assert "Using test database" not in outcome.output


@pytest.mark.slow
def test_failing_fast_leaves_nothing_behind(project, until_gone):
    (project.root / "tests" / "test_failing.py").write_text(
        "from django.test import TransactionTestCase\n"
        "from books.models import Author\n"
        "class FailingTests(TransactionTestCase):\n"
        "    def test_fails(self):\n"
        "        Author.objects.create(name='Cyd')\n"
        "        raise ValueError('on purpose')\n"
    )

    outcome = project.manage_test("--failfast", "--parallel", "2")

    assert outcome.exit_code == 1
    assert "on purpose" in outcome.output
    assert until_gone() == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--parallel", "2"]])
def test_a_killed_run_leaves_nothing_behind(project, until_gone, options):
    (project.root / "tests" / "test_failing.py").write_text(
        "import os, signal\n"
        "from django.test import TransactionTestCase\n"
        "from books.models import Author\n"
        "class KillingTests(TransactionTestCase):\n"
        "    def test_kills_all(self):\n"
        "        Author.objects.create(name='Cyd')\n"
        "        os.killpg(0, signal.SIGKILL)\n"
    )

    outcome = project.manage_test("tests.test_failing", "tests.test_rollbacks", *options)

    assert outcome.exit_code == -signal.SIGKILL
    assert until_gone() == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--parallel", "2"]])
def test_processes_share_a_server_of_somebody_else_and_leave_it_tidy(
    project, server, admin, options
):
    address = server.with_(dbname="postgres").url()

    outcome = project.manage_test(*options, FRESHPG_SERVER=address, FRESHPG_ALLOW_CREATE="1")

    assert outcome.exit_code == 0, outcome.output
    left = admin.rows("SELECT datname FROM pg_database WHERE datname ~ '^(library|journal)_test'")
    assert [name for (name,) in left if "_template_" not in name] == []
    assert len(left) == 2


@pytest.mark.slow
def test_a_worker_that_gets_no_database_ends_the_run_with_the_reason(project, until_gone):
    (project.root / "library" / "broken.py").write_text(BROKEN)
    project.settings('TEST_RUNNER = "library.broken.Broken"')

    outcome = project.manage_test("--parallel", "2")

    assert outcome.exit_code == 1
    assert "CommandError: FPG-C05 unknown level of isolation" in outcome.output
    assert "Traceback" not in outcome.output
    assert until_gone() == []


@pytest.mark.parametrize(
    "change, seen",
    [
        (
            'DATABASES["other"] = {**PRODUCTION, "NAME": "other"}',
            r'on: +DATABASES\["other"\]\n +seen: no blueprint is called so; the project has: main, journal',
        ),
        (
            'DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "TEST": {"FRESHPG": "main"}}',
            r"its ENGINE is django.db.backends.sqlite3, which is not for PostgreSQL",
        ),
    ],
)
def test_an_alias_that_freshpg_cannot_serve_is_refused_by_name(project, change, seen):
    project.settings(change)
    (project.root / "tests" / "test_other.py").write_text(
        "from django.test import TestCase\n"
        "class OtherTests(TestCase):\n"
        "    databases = {'other'}\n"
        "    def test_it(self): pass\n"
    )

    outcome = project.manage_test("tests.test_other")

    assert outcome.exit_code == 1
    assert "CommandError: FPG-C10 Django cannot be used like this" in outcome.output
    assert re.search(seen, outcome.output), outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.slow
def test_a_new_migration_and_changed_settings_make_a_new_template(project):
    assert project.manage_test("tests.test_commits.MirrorTests").exit_code == 0
    (project.root / "books" / "migrations" / "0004_more.py").write_text(
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [('books', '0003_seed')]\n"
        "    operations = [migrations.RunSQL(\"INSERT INTO books_author (name, likes) VALUES ('Dee', 0)\")]\n"
    )

    outcome = project.manage_test("tests.test_commits.MirrorTests")

    assert outcome.exit_code == 1
    assert "4 != 3" in outcome.output
