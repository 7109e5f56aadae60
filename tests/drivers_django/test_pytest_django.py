"""pytest-django on our databases, and side by side with ``manage.py test``."""

import pytest

pytestmark = pytest.mark.timeout(200)

LOST = """
import os, signal
from pathlib import Path

import pytest
from django.db import connection

from freshpg.drivers.django import leased_database

RUNS = []

def answers():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone() == (1,)

@pytest.mark.django_db
def test_before(): assert answers()

@pytest.mark.django_db(transaction=True)
def test_victim():
    RUNS.append(1)
    assert answers()
    if len(RUNS) == 1:
        address = leased_database().conninfo
        lock = Path(address.host, f".s.PGSQL.{address.port}.lock")
        os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
        while answers(): pass

@pytest.mark.django_db
def test_after(): assert answers()
"""


def test_fixtures_and_marks_of_pytest_django_start_from_the_template(project, until_gone):
    outcome = project.pytest("tests_pytest")

    assert outcome.exit_code == 0, outcome.output
    assert set(outcome.tests.values()) == {"passed"}
    assert len(outcome.tests) == 28
    assert until_gone() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-n", "2"],
        ["-n", "2", "--dist", "loadscope", "--reuse-db"],
        ["--create-db", "--nomigrations", "-p", "no:randomly"],
    ],
)
def test_outcomes_are_those_of_the_runner_of_django(project, until_gone, options):
    by_django = project.manage_test()
    by_pytest = project.pytest("tests", *options)

    assert by_pytest.exit_code == 0, by_pytest.output
    assert by_pytest.tests == by_django.tests
    assert len(by_django.tests) == 40
    assert until_gone() == []


@pytest.mark.slow
def test_the_plugin_is_asked_for_in_the_configuration_of_pytest_when_the_runner_is_another(project):
    project.settings('TEST_RUNNER = "django.test.runner.DiscoverRunner"')
    configuration = project.root / "pytest.ini"
    configuration.write_text(configuration.read_text() + "pg_django = true\n")

    outcome = project.pytest("tests_pytest", "-k", "transactional_db")

    assert outcome.exit_code == 0, outcome.output
    assert set(outcome.tests.values()) == {"passed"}


@pytest.mark.slow
def test_switched_off_pytest_django_goes_its_own_way(project):
    outcome = project.pytest("tests_pytest", "-k", "test_db_rolls_back", "-o", "pg_django=false")

    assert outcome.exit_code == 1
    assert "192.0.2.1" in outcome.output
    assert "handed out" not in outcome.output


@pytest.mark.slow
def test_a_fixture_of_the_project_wins_over_ours(project):
    (project.root / "conftest.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def django_db_setup():\n"
        "    raise RuntimeError('the fixture of the project')\n"
    )

    outcome = project.pytest("tests_pytest", "-k", "test_db_rolls_back")

    assert outcome.exit_code == 1
    assert "the fixture of the project" in outcome.output


@pytest.mark.slow
def test_an_alias_without_a_blueprint_is_told_in_a_block(project):
    project.settings('DATABASES["other"] = {**PRODUCTION, "NAME": "other"}')
    (project.root / "tests_pytest" / "test_other.py").write_text(
        "import pytest\n@pytest.mark.django_db(databases=['other'])\ndef test_it(): pass\n"
    )

    outcome = project.pytest("tests_pytest/test_other.py")

    assert outcome.exit_code == 1
    assert "FPG-C10 Django cannot be used like this" in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.slow
def test_tests_under_which_the_server_is_lost_are_run_once_more(project, until_gone):
    (project.root / "tests_pytest" / "test_lost.py").write_text(LOST)

    outcome = project.pytest("tests_pytest/test_lost.py", "-p", "no:randomly")

    assert outcome.exit_code == 0, outcome.output
    assert "3 passed, 1 rerun" in outcome.output
    assert "tests_pytest/test_lost.py::test_victim" in outcome.output
    assert until_gone() == []
