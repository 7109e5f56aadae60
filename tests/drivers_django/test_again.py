"""``manage.py test``: a test whose server was lost is run once more, and the run goes on."""

import json

import pytest

pytestmark = pytest.mark.timeout(200)

HELPERS = """
import os, signal
from pathlib import Path

from django.db import connection
from django.test import TestCase, TransactionTestCase

from books.models import Author
from freshpg.drivers.django import leased_database

RUNS = []

def lose_server():
    address = leased_database().conninfo
    lock = Path(address.host, f".s.PGSQL.{address.port}.lock")
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

def once():
    RUNS.append(1)
    return len(RUNS) == 1
"""
DATA_OF_A_CLASS = """
class VictimTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.author = Author.objects.create(name="Cyd")

    def test_1(self):
        self.assertEqual(Author.objects.get(pk=self.author.pk), self.author)

    def test_2(self):
        self.author.name = "changed"
        if once():
            lose_server()
        self.author.refresh_from_db()
        self.assertEqual(self.author.name, "Cyd")

    def test_3(self):
        self.assertEqual(Author.objects.get(pk=self.author.pk).name, "Cyd")

class VictimsThatCommitTests(TransactionTestCase):
    def test_1(self):
        Author.objects.create(name="Dot")
        if len(RUNS) == 2:
            RUNS.append(1)
            lose_server()

    def test_2(self):
        self.assertFalse(Author.objects.filter(name__in=["Cyd", "Dot"]).exists())
"""
NEIGHBOUR = """
from django.test import TestCase

from books.models import Author

class NeighbourTests(TestCase):
    def test_it(self):
        self.assertFalse(Author.objects.filter(name__in=["Cyd", "Dot"]).exists())
"""
FAILING_BY_THEMSELVES = """
class OwnFaultTests(TransactionTestCase):
    def test_ends_its_own_session(self):
        once()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    def test_fails_before_the_server_is_lost(self):
        with self.subTest("mine"):
            self.fail("mine")
        lose_server()

    def test_was_run_once(self):
        self.assertEqual(len(RUNS), 1)
"""


def victims(project, text, *options):
    (project.root / "tests" / "test_lost.py").write_text(HELPERS + text)
    return project.manage_test("tests.test_lost", *options)


def logged(project):
    log = project.root / ".freshpg" / "log" / "errors.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        (line["test"].rpartition("test_lost.")[2], line["code"], line["again"])
        for line in lines
        if line["kind"] == "infrastructure" and "again" in line
    ]


def named(outcome):
    _, said, names = outcome.output.partition("because the server was lost under them: ")
    assert said or not names
    return [
        line.strip().rpartition("test_lost.")[2]
        for line in names.splitlines()[1:]
        if line.startswith("  ")
    ]


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(("--buffer",), marks=pytest.mark.slow),
        pytest.param(("--parallel", "2"), marks=pytest.mark.slow),
    ],
)
def test_tests_that_lost_their_server_are_run_once_more_and_the_run_ends_green(
    project, until_gone, options
):
    (project.root / "tests" / "test_neighbour.py").write_text(NEIGHBOUR)

    outcome = victims(project, DATA_OF_A_CLASS, "tests.test_neighbour", *options)

    assert outcome.exit_code == 0, outcome.output
    assert "Ran 6 tests" in outcome.output
    assert sorted(outcome.tests.values()) == ["passed"] * 6
    lost = ["VictimTests.test_2", "VictimsThatCommitTests.test_1"]
    assert sorted(named(outcome)) == lost[: 1 if "--parallel" in options else 2]
    assert sorted(logged(project)) == [(one, "FPG-S08", True) for one in sorted(named(outcome))]
    assert until_gone() == []


@pytest.mark.slow
def test_a_server_lost_while_a_class_is_set_up_is_told_to_nobody_but_the_log(project):
    outcome = victims(
        project,
        "class VictimTests(TestCase):\n"
        "    @classmethod\n"
        "    def setUpTestData(cls):\n"
        "        if once(): lose_server()\n"
        "    def test_1(self): self.assertFalse(Author.objects.filter(name='x').exists())\n"
        "    def test_2(self): self.assertEqual(len(RUNS), 2)\n",
    )

    assert outcome.exit_code == 0, outcome.output
    assert "Ran 2 tests" in outcome.output
    assert named(outcome) == ["VictimTests.test_1"]


@pytest.mark.slow
def test_a_server_lost_when_the_test_had_passed_is_no_second_pass(project):
    outcome = victims(
        project,
        "class VictimTests(TransactionTestCase):\n"
        "    def setUp(self): self.addCleanup(lambda: once() and lose_server())\n"
        "    def test_1(self): pass\n",
        "--failfast",
    )

    assert outcome.exit_code == 0, outcome.output
    assert "Ran 1 test" in outcome.output
    assert outcome.output.count("... ok") == 1
    assert named(outcome) == ["VictimTests.test_1"]


@pytest.mark.slow
def test_what_fails_by_itself_is_not_run_again(project):
    outcome = victims(project, FAILING_BY_THEMSELVES)

    assert outcome.exit_code == 1, outcome.output
    assert outcome.tests["tests.test_lost.OwnFaultTests.test_was_run_once"] == "passed"
    assert "Ran 3 tests" in outcome.output
    assert "FAILED (failures=1, errors=3)" in outcome.output
    assert named(outcome) == []


@pytest.mark.slow
def test_a_test_that_loses_its_server_twice_fails_as_infrastructure(project):
    outcome = victims(
        project,
        "class VictimTests(TestCase):\n"
        "    def test_1(self): lose_server()\n"
        "    def test_2(self): self.assertFalse(Author.objects.filter(name='x').exists())\n",
    )

    assert outcome.exit_code == 1, outcome.output
    assert "Ran 2 tests" in outcome.output
    assert "FAILED (errors=1)" in outcome.output
    assert outcome.tests["tests.test_lost.VictimTests.test_2"] == "passed"
    assert logged(project)[:2] == [
        ("VictimTests.test_1", "FPG-S08", True),
        ("VictimTests.test_1", "FPG-S08", False),
    ]


@pytest.mark.slow
def test_a_server_that_crashes_too_often_ends_the_run_and_no_test_meets_the_configured_database(
    project, until_gone
):
    outcome = victims(
        project,
        "class VictimTests(TestCase):\n"
        + "".join(f"    def test_{turn}(self): lose_server()\n" for turn in range(5)),
    )

    assert outcome.exit_code == 1, outcome.output
    assert outcome.output.count("FPG-S16") == 1
    assert "db.invalid" not in outcome.output
    assert until_gone() == []
