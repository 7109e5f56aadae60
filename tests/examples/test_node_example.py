"""A program in another language gets a fresh database from ``freshpg run``."""

import shutil
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
]


@pytest.fixture
def guestbook(example, run) -> Path:
    """Return the copied example with its one package installed."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    directory = example("node")
    installed = run(directory, "npm", "ci", "--no-audit", "--no-fund")
    if installed.exit_code:
        pytest.skip(f"npm could not install the package pg: {installed.output.strip()[-300:]}")
    return directory


def test_npm_test_passes_twice_because_the_database_is_fresh_again(guestbook, run):
    for _ in range(2):
        tested = run(guestbook, "npm", "test")

        assert tested.exit_code == 0, tested.output
        assert "pass 4" in tested.output


def test_without_its_package_the_example_says_what_to_install(example, run):
    tested = run(example("node"), "node", "--test")

    assert tested.exit_code == 1
    assert "Run: npm install" in tested.output
