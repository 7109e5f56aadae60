"""What the package promises by name is there, and costs nothing until it is used."""

import importlib.metadata
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import freshpg
import freshpg.core

HEAVY = {
    "asyncio",
    "click",
    "concurrent",
    "difflib",
    "email",
    "hypothesis",
    "importlib.metadata",
    "platformdirs",
    "psycopg",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "tomllib",
    "typing_extensions",
}
CORE = [module.name for module in pkgutil.walk_packages(freshpg.core.__path__, "freshpg.core.")]
# Imported by freshpg.core.settings only when a file has to be read.
ON_DEMAND = {"freshpg.core.settings.lines"}


def modules_after(statement):
    code = f"import sys\n{statement}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    environment = {"PYTHONPATH": str(Path(freshpg.__file__).parents[1])}
    # -S: what `site` and .pth files of the environment import is not ours.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", freshpg.__all__)
def test_every_public_name_is_there(name):
    assert getattr(freshpg, name) is not None
    assert name in dir(freshpg)


def test_the_version_is_the_installed_one():
    assert freshpg.__version__ == importlib.metadata.version("freshpg")


def test_what_this_version_does_not_have_is_no_attribute():
    with pytest.raises(AttributeError, match="nonsense"):
        freshpg.nonsense  # noqa: B018 (looking is the test)


def test_importing_the_package_imports_nothing_else_of_it():
    assert {name for name in modules_after("import freshpg") if name.startswith("freshpg")} == {
        "freshpg"
    }


def test_public_settings_are_the_core_ones():
    from freshpg.core.settings import Settings

    assert freshpg.Settings is Settings


def test_importing_the_kernel_imports_nothing_heavy():
    modules = modules_after("\n".join(f"import {name}" for name in CORE if name not in ON_DEMAND))
    assert modules & HEAVY == set()


def test_loading_settings_where_no_file_has_any_imports_no_toml_reader(tmp_path):
    statement = (
        "from pathlib import Path\nfrom freshpg.core.settings import load_settings\n"
        f"load_settings(Path({str(tmp_path)!r}), environment={{}})"
    )
    assert modules_after(statement) & HEAVY == set()
