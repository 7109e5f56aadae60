"""What the project offers to pre-commit: a valid manifest, and entries that do what they say."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

MANIFEST = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
# https://pre-commit.com/#creating-new-hooks
REQUIRED = {"id", "name", "entry", "language"}
OPTIONAL = {"description", "files", "always_run", "pass_filenames"}
HOOKS = {hook["id"]: hook for hook in yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))}

SETTINGS = '[tool.freshpg.databases.main]\nname = "shop_test"\nmigrations = []\n'


def run(hook, directory):
    """Run an entry as pre-commit does, with our interpreter in place of the one it would make."""
    program, *words = shlex.split(hook["entry"])
    assert program == "freshpg"
    return subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=directory,
        env={**os.environ, "FRESHPG_LINGER": "0"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    return tmp_path


def test_the_manifest_offers_both_hooks_with_what_pre_commit_asks_for():
    assert HOOKS.keys() == {"freshpg-config", "freshpg-doctor"}
    for hook in HOOKS.values():
        assert hook.keys() >= REQUIRED
        assert hook.keys() <= REQUIRED | OPTIONAL
        assert hook["language"] == "python"
        # Neither command takes files.
        assert hook["pass_filenames"] is False


def test_settings_are_checked_when_a_file_that_may_hold_them_changes():
    files = re.compile(HOOKS["freshpg-config"]["files"])

    assert all(files.search(name) for name in ("pyproject.toml", "freshpg.toml", "a/freshpg.toml"))
    assert not any(files.search(name) for name in ("setup.cfg", "notfreshpg.toml", "freshpg.tomlx"))


@pytest.mark.parametrize("name", HOOKS)
def test_a_project_that_is_fine_passes(name, project):
    done = run(HOOKS[name], project)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", HOOKS)
def test_settings_that_are_not_valid_fail_with_the_nearest_name(name, project):
    (project / "pyproject.toml").write_text('[tool.freshpg]\nisolaton = "reset"\n')

    done = run(HOOKS[name], project)

    assert done.returncode == 2
    assert "isolation" in done.stderr
