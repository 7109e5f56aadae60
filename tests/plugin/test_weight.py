"""What the plugin costs those who do not use it."""

import subprocess
import sys

import pytest

FREE = """
import sys

def pytest_unconfigure(config):
    for name in ("psycopg", "freshpg.manager", "freshpg.servers", "sqlalchemy"):
        print(name, "imported" if name in sys.modules else "absent")
"""


def modules_of(statement):
    """Modules that a fresh Python has imported after the statement."""
    code = f"import sys, pytest; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_entry_module_imports_nothing_but_pytest_and_the_declarations_of_the_plugin():
    imported = modules_of("import freshpg.pytest_plugin")
    ours = {name for name in imported if name.startswith("freshpg")}
    parts = {name.removeprefix("freshpg.pytest_plugin.") for name in ours}
    assert parts == {
        *("freshpg", "freshpg.pytest_plugin"),
        *("again", "fixtures", "options", "resume", "run"),
    }
    assert not imported - ours - sys.stdlib_module_names


def test_a_failing_test_that_uses_nothing_of_ours_imports_nothing_and_writes_nothing(suite):
    suite.write(
        "conftest.py",
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        "    print('imported', sorted(name for name in sys.modules if name.startswith('freshpg.core')))",
    )
    suite.tests("import psycopg\ndef test_it(): psycopg.connect('host=/nowhere')")
    outcome = suite.run_apart("-s", "-q")
    assert outcome.counts == {"failed": 1}, outcome.text
    assert "imported []" in outcome.text
    assert not (suite.path / ".freshpg").exists()


@pytest.mark.parametrize("options", [(), ("--collect-only",), ("--setup-plan",), ("--fixtures",)])
def test_a_run_that_needs_no_database_starts_nothing(suite, running, until_gone, options):
    # A keeper of the test before may be about to leave.
    assert until_gone() == []
    suite.write("conftest.py", FREE)
    suite.tests("def test_it(): pass" if not options else "def test_it(pg, pg_run): pass")
    outcome = suite.run_apart("-s", *options)
    assert outcome.exit_code == 0, outcome.text
    assert outcome.text.count(" absent") == 4, outcome.text
    assert "handed out" not in outcome.text
    assert running() == []


def test_collecting_needs_no_server_and_no_valid_address(suite):
    suite.tests("def test_it(pg): pass")
    outcome = suite.run(
        "--collect-only", "-q", "--pg-server", "postgresql://nobody@nowhere.invalid/x"
    )
    assert outcome.exit_code == 0


def test_the_header_says_what_would_be_used_and_who_decided_it(suite):
    suite.tests("def test_it(): pass")
    suite.write("freshpg.toml", '\nisolation = "clone"\n')
    secret = "postgresql://me:hush@db.invalid:6000/postgres"
    line = next(
        line for line in suite.run("--pg-server", secret).text.splitlines() if "freshpg:" in line
    )
    assert line == (
        "freshpg: postgresql://me:***@db.invalid:6000/postgres (--pg-server), isolation clone (freshpg.toml:2)"
    )
    wheels = suite.run("--pg-server=embedded").text
    assert "freshpg: PostgreSQL embedded" in wheels
    assert "of this machine (--pg-server)" in suite.run("--pg-server=system").text


def test_the_header_names_the_wheels_the_provider_knows():
    from freshpg.pytest_plugin.report import WHEELS
    from freshpg.servers.providers import embedded

    assert tuple(wheel.distribution for wheel in embedded.WHEELS) == WHEELS


def test_the_summary_counts_what_was_handed_out(suite):
    suite.tests("def test_1(pg): pass\ndef test_2(pg, pg_run): pass")
    outcome = suite.run()
    assert outcome.handed_out == 3
    assert "median" in outcome.text
    assert "PostgreSQL 1" in outcome.text
    assert "handed out" not in suite.run("-q").text
