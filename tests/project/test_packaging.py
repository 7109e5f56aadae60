"""What pyproject.toml, uv.lock and ci.yml say must agree, with each other and with the world."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
POSTGRES_VERSIONS = {"15", "16", "17", "18"}


@pytest.fixture(scope="module")
def jobs():
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobs"]


@pytest.fixture(scope="module")
def supported_pythons():
    prefix = "Programming Language :: Python :: "
    named = {c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)}
    return {version for version in named if re.fullmatch(r"\d\.\d+", version)}


def test_the_oldest_classified_python_is_the_one_required(supported_pythons):
    oldest = min(supported_pythons, key=lambda version: int(version.partition(".")[2]))

    assert f">={oldest}" == PROJECT["requires-python"]


def test_ci_meets_every_supported_python_and_postgresql(jobs, supported_pythons):
    pairs = jobs["wheel"]["strategy"]["matrix"]["include"]

    assert supported_pythons == {pair["python"] for pair in pairs}
    assert {pair["postgres"] for pair in pairs} == POSTGRES_VERSIONS


def test_ci_crosses_oldest_and_newest(jobs):
    pairs = {(p["python"], p["postgres"]) for p in jobs["wheel"]["strategy"]["matrix"]["include"]}

    assert {("3.11", "15"), ("3.11", "18"), ("3.14", "15"), ("3.14", "18")} <= pairs


def test_the_required_check_waits_for_every_other_job(jobs):
    assert set(jobs["required"]["needs"]) == set(jobs) - {"required"}


def test_every_action_is_pinned_to_a_commit(jobs):
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]

    assert [name for name in used if not re.search(r"@[0-9a-f]{40}$", name)] == []


def test_no_job_may_write(jobs):
    granted = [job.get("permissions", {}) for job in jobs.values()]

    assert [grant for grant in granted if grant not in ({}, {"contents": "read"})] == []


def test_the_lock_names_no_host_but_pypi():
    addresses = re.findall(r"\w+://[^\s\"]+", (ROOT / "uv.lock").read_text(encoding="utf-8"))

    assert {urlsplit(address).hostname for address in addresses} == {
        "files.pythonhosted.org",
        "pypi.org",
    }


def test_the_extra_all_holds_every_other_extra():
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    held = everything.removeprefix("freshpg[").removesuffix("]").split(",")

    assert set(held) == set(extras) - {"all"}


def test_what_the_user_meets_is_installed():
    metadata = importlib.metadata.distribution("freshpg")
    entries = {(entry.group, entry.name, entry.value) for entry in metadata.entry_points}

    assert entries == {
        ("console_scripts", "freshpg", "freshpg.cli:main"),
        ("pytest11", "freshpg", "freshpg.pytest_plugin"),
    }
    assert metadata.version == PROJECT["version"]


def test_the_plugin_loads_no_driver_and_no_framework():
    heavy = {"alembic", "asyncpg", "click", "django", "psycopg", "sqlalchemy", "sqlite3"}
    script = (
        "import sys, pytest; before = set(sys.modules); import freshpg.pytest_plugin; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "freshpg" in loaded
    assert heavy & set(loaded) == set()
