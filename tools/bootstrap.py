"""Make `.venv` hold what a verb of the Makefile needs, starting from `python3` alone.

Usage: ``python3 tools/bootstrap.py GROUP...`` with dependency groups of pyproject.toml.
Runs on the standard library, before anything is installed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
UV = str(VENV / "bin" / "uv")
OLDEST = (3, 11)
PYPI = "https://pypi.org/simple"


def main(groups: list[str]) -> None:
    """Create `.venv`, install uv into it, then exactly the locked versions of the groups."""
    if sys.version_info < OLDEST:
        fail(
            f"freshpg needs Python {OLDEST[0]}.{OLDEST[1]} or newer, "
            f"{sys.executable} is {sys.version.split()[0]}",
            "name a newer one: make test PYTHON=python3.13",
        )
    if not works(PYTHON):
        create_venv()
    if not works(UV):
        run([PYTHON, "-m", "pip", "install", "--quiet", "uv"])
    install(groups)


def works(program: str) -> bool:
    """Whether it runs; a venv whose Python was removed or that was moved does not."""
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def create_venv() -> None:
    """Create `.venv` with pip in it, from ensurepip or, without that, from this Python's pip."""
    create = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(create, check=False, capture_output=True).returncode == 0:
        return
    # Debian and Ubuntu ship python3 without ensurepip; its own pip can still fill a venv.
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)])
    fill = [sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet", "pip"]
    if subprocess.run(fill, check=False, capture_output=True).returncode != 0:
        fail(
            f"{sys.executable} can neither create a virtual environment with pip nor run pip",
            "on Debian or Ubuntu: apt install python3-venv (as root)",
        )


def install(groups: list[str]) -> None:
    """Install the locked versions of the groups and freshpg itself, editable.

    Compiled at once: tests start hundreds of Pythons, and where PYTHONDONTWRITEBYTECODE is set each would compile anew.
    """
    selected = [f"--group={group}" for group in groups]
    environment = uv_environment()
    index = configured_index()
    if index is None:
        # Inexact: the groups of another verb and uv itself stay.
        locked = [UV, "sync", "--quiet", "--locked", "--inexact", "--no-default-groups"]
        run([*locked, "--compile-bytecode", *selected], environment)
        return
    # uv.lock names PyPI, which a machine with a mirror may not reach: take the same
    # versions with the same hashes from the mirror.
    environment["UV_DEFAULT_INDEX"] = index
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        export = [UV, "export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project"]
        run([*export, *selected, "--output-file", str(requirements)], environment)
        pip = [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", PYTHON]
        run([*pip, "--require-hashes", "--requirement", str(requirements)], environment)
        run([*pip, "--no-deps", "--editable", str(ROOT)], environment)


def configured_index() -> str | None:
    """The package index this machine is told to use instead of PyPI, if any."""
    named = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    if not named:
        asked = [PYTHON, "-m", "pip", "config", "list"]
        listed = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        settings = dict(line.partition("=")[::2] for line in listed.splitlines())
        named = settings.get(":env:.index-url") or settings.get("global.index-url") or ""
    index = named.strip("'\"").rstrip("/")
    return None if index in {"", PYPI} else index


def uv_environment() -> dict[str, str]:
    """The environment with which uv works on our `.venv`, behind a company's proxy too."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment["UV_PROJECT_ENVIRONMENT"] = str(VENV)
    environment.setdefault("UV_PYTHON_DOWNLOADS", "never")
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    if not os.access(Path.home(), os.W_OK):
        environment.setdefault("UV_NO_CACHE", "1")
    return environment


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run it in the project's root; its failure is ours, told in its own words."""
    result = subprocess.run(command, check=False, cwd=ROOT, env=environment)
    if result.returncode != 0:
        shown = shlex.join(command)
        fail(f"this failed with exit code {result.returncode}: {shown}", "read its message above")


def fail(what: str, todo: str) -> NoReturn:
    """End with a sentence on what failed and one on what to do."""
    raise SystemExit(f"bootstrap: {what}\n  do: {todo}")


if __name__ == "__main__":
    main(sys.argv[1:])
