"""The verbs a person types."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
VERBS = ["demo", "test", "test-all", "lint", "bench", "docs", "clean"]


@pytest.fixture(scope="module")
def help_text():
    answer = subprocess.run(
        ["make", "--no-print-directory"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    return answer.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_make_alone_explains_the_verb(verb, help_text):
    assert re.search(rf"^  make {verb} +\S.*$", help_text, re.MULTILINE)


def test_every_explained_verb_is_phony(help_text):
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert set(re.findall(r"^  make (\S+)", help_text, re.MULTILINE)) == set(phony.split())


@pytest.mark.parametrize("guide", ["CONTRIBUTING.md", "README.md"])
def test_no_guide_names_a_verb_that_does_not_exist(guide, help_text):
    known = set(re.findall(r"^  make (\S+)", help_text, re.MULTILINE))
    named = re.findall(
        r"^(?:    |\$ )?make ([a-z-]+)|`make ([a-z-]+)", (ROOT / guide).read_text(), re.MULTILINE
    )

    assert {first or second for first, second in named} <= known
