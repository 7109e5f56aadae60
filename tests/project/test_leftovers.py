"""tools/check_leftovers.py is the last word of CI: it must not be blind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runtime_root(tmp_path):
    root = tmp_path / "freshpg-4242"
    root.mkdir()
    return root


@pytest.fixture
def check(tmp_path):
    """Other tests run servers meanwhile: ask about names, the number found is theirs too."""

    def run(*options):
        return subprocess.run(
            [sys.executable, ROOT / "tools/check_leftovers.py", "--patience=0", *options],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path)},
        )

    return run


def test_a_directory_left_behind_is_named_with_what_is_in_it(runtime_root, check):
    (runtime_root / "keeper.sock").touch()

    result = check()

    assert result.returncode == 1
    assert f"left behind: directory {runtime_root} holding keeper.sock\n" in result.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see where it works")
def test_a_process_working_in_a_runtime_directory_is_named(runtime_root, check):
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], cwd=runtime_root, stdin=subprocess.PIPE
    ) as left:
        result = check()
        left.stdin.close()

    assert result.returncode == 1
    assert f"left behind: process {left.pid} " in result.stderr


def test_what_was_there_before_the_run_is_not_held_against_it(runtime_root, tmp_path, check):
    snapshot = tmp_path / "before.json"
    check("--snapshot", snapshot)
    (runtime_root / "made-since").touch()

    assert str(runtime_root) not in check("--since", snapshot).stderr
