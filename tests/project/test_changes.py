"""The check of changelog fragments that `make lint` runs."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check_changes():
    spec = importlib.util.spec_from_file_location("check_changes", ROOT / "tools/check_changes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "changes").mkdir()
    return tmp_path


def test_our_own_fragments_are_valid(check_changes):
    assert check_changes.faults(ROOT) == []


@pytest.mark.parametrize("name", ["42.fix.md", "42.fix.1.md", "+slug.feature.md", "README.md"])
def test_a_well_named_fragment_passes(name, project, check_changes):
    (project / "changes" / name).write_text("A killed worker gives its database back at once.\n")

    assert check_changes.faults(project) == []


@pytest.mark.parametrize("name", ["slug.fix.md", "42.md", "42.bugfix.md", "42.fix.txt"])
def test_a_misnamed_fragment_is_told_the_kinds_there_are(name, project, check_changes):
    (project / "changes" / name).write_text("Something changed.\n")

    (fault,) = check_changes.faults(project)

    assert fault.startswith(f"changes/{name}: ")
    assert "break, feature, fix, faster, docs" in fault


def test_an_empty_fragment_is_refused(project, check_changes):
    (project / "changes" / "42.fix.md").write_text("\n")

    assert check_changes.faults(project) == [
        "changes/42.fix.md: is empty, write what changed and what to do"
    ]


def test_the_guide_teaches_every_kind(check_changes):
    guide = (ROOT / "changes/README.md").read_text(encoding="utf-8")

    assert [
        kind for kind in check_changes.fragment_types(ROOT) if f"| `{kind}` |" not in guide
    ] == []
