"""Runs of pytest on generated suites: where they are put, how they are started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import psycopg

from benchmarks.data_files import installations
from benchmarks.suites import AS_USER
from freshpg.servers import runas

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.ground import Ground
    from benchmarks.suites import Suite
    from freshpg.core.conninfo import Conninfo

_TEST = """
import os, pytest

@pytest.mark.parametrize("number", range(int(os.environ["BENCHMARK_TESTS"])))
"""
_LIMIT = 600.0
"""Seconds one run may take, so that a suite that hangs does not hang the benchmark."""

# A suite of a million tests would feel each entry; all suites have the same few plugins.
_UNWANTED = ("randomly", "timeout", "cacheprovider", "asyncio", "anyio")


def whole_run(suite: Suite, place: Path, count: int) -> float:
    """Return seconds that a run of ``count`` tests takes from the start of its process to the end.

    Raises:
        RuntimeError: It failed; the first line that says why.
    """
    began = time.perf_counter()
    pytest_run(suite, place, variables={"BENCHMARK_TESTS": str(count)})
    return time.perf_counter() - began


def pytest_run(
    suite: Suite,
    place: Path,
    *,
    variables: Mapping[str, str],
    workers: int = 1,
    limit: float = _LIMIT,
) -> None:
    """Run a suite, without plugins but its own.

    Raises:
        RuntimeError: It failed, with the last line that says why, or did not end in time.
    """
    plugins = [*suite.plugins, *(["xdist.plugin"] if workers > 1 else [])]
    unwanted = [*_UNWANTED, *([] if workers > 1 else ["xdist"])]
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(place),
        # Warm servers, as they are for somebody who runs the suite again and again.
        "FRESHPG_LINGER": "60",
        **variables,
    }
    if any(name == "bench_settings.py" for name, _ in suite.files):
        environment["DJANGO_SETTINGS_MODULE"] = "bench_settings"
    words = [sys.executable, "-m", "pytest", "-q"]
    words += [word for name in unwanted for word in ("-p", f"no:{name}")]
    words += [word for name in plugins for word in ("-p", name)]
    words += [*suite.options, "--rootdir", str(place), "--basetemp", str(place / "tmp")]
    words += ["-c", str(place / "pytest.ini")]
    words += ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    try:
        done = subprocess.run(
            words,
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"it had not ended after {limit:g} s") from None
    if done.returncode:
        told = ("E ", "ERROR ", "FAILED ")
        lines = [line for line in done.stdout.splitlines() if line.startswith(told)]
        raise RuntimeError(" ".join((lines or (done.stdout + done.stderr).splitlines())[-1:])[:300])


def place_suite(
    ground: Ground, suite: Suite, project: Path, address: Conninfo, tables: int
) -> Path:
    """Write a suite's files into a directory of its own; ``raw_template`` and ``recipe`` are at ``address``."""
    place = ground.directory("suite")
    facts = {
        "url": address.url(),
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "template": "raw_template",
        "keywords": repr(address.with_(dbname="recipe").keywords()),
        "schema": project / "schema.sql",
        "tables": tables,
        "pg_ctl": _pg_ctl(place),
        "sockets": place,
    }
    for name in ("schema.sql", "freshpg.toml"):
        (place / name).write_text((project / name).read_text())
    (place / "pytest.ini").write_text("[pytest]\n")
    if suite.test:
        (place / "test_it.py").write_text(f"import psycopg{_TEST}{suite.test}")
    for name, text in (("conftest.py", suite.conftest), *suite.files):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text.format(**facts))
    return place


def make_template(address: Conninfo, project: Path) -> None:
    """Make the databases that suites of peers use: ``raw_template`` to be cloned, ``recipe`` to be written to."""
    text = (project / "schema.sql").read_text()
    with psycopg.connect(**address.keywords(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE raw_template")
        inside_it = address.with_(dbname="raw_template").keywords()
        with psycopg.connect(**inside_it, autocommit=True) as inside:
            inside.execute(text)
            inside.execute("VACUUM (FREEZE, ANALYZE)")
    renew_recipe(address)


def renew_recipe(address: Conninfo) -> None:
    """Put a copy of the template in the place of ``recipe``, so that no dead rows of earlier runs are in it."""
    with psycopg.connect(**address.keywords(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS recipe")
        admin.execute("CREATE DATABASE recipe TEMPLATE raw_template STRATEGY FILE_COPY")


def missing(suite: Suite, tables: int) -> str:
    """Return why a suite is not run; empty where it is."""
    brought = {name.removesuffix(".py") for name, _ in suite.files}
    needed = {plugin.partition(".")[0] for plugin in suite.plugins}
    for package in sorted(needed - brought):
        if find_spec(package) is None:
            return f"{package} is not installed"
    if "transaction" in suite.name and tables >= 1000:
        return "minutes a run: it truncates every table after every test"
    return ""


def _pg_ctl(place: Path) -> Path:
    """Return a ``pg_ctl`` that can be run by who we are, its server as the other servers' user."""
    binaries = next(one for one in reversed(installations()) if one.program("pg_ctl").exists())
    run_as = runas.choose()
    if run_as.uid == os.geteuid():
        return binaries.program("pg_ctl")
    wrapper = place / "pg_ctl"
    wrapper.write_text(
        AS_USER.format(
            user=run_as.uid, group=run_as.gid, place=place.parent, pg_ctl=binaries.program("pg_ctl")
        )
    )
    wrapper.chmod(0o755)
    os.chown(place, run_as.uid, run_as.gid)
    return wrapper
