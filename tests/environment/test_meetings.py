"""Several at once, and deaths at bad moments."""

from __future__ import annotations

import os
import shutil
import signal
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from environment.conftest import SOURCE, ended, until

ASK_PIDS = """
import os, signal
from pathlib import Path
from freshpg.servers.keeper.client import Keeper
server = Path(manager.socket_directory).parent
told["server"] = int((server / "data" / "postmaster.pid").read_text().split()[0])
with Keeper.find(server.parents[1]) as found: told["keeper"] = found.pid
"""
TRY = """
def attempt():
    try:
        with manager.lease() as again, again.connect() as connection:
            return connection.execute("SELECT count(*) FROM customer").fetchone()[0]
    except freshpg.errors.FreshpgError as error:
        return type(error).__name__
"""


@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_make_one_image(ground, count):
    told = [ended(process) for process in [ground.start() for _ in range(count)]]
    assert [one.customers for one in told] == [2] * count
    # One is the bare cluster, one the project's; the maker alone says that it initialised.
    assert sorted(one.how for one in told) == ["image"] * (count - 1) + ["initdb"]
    assert len(list(ground.cache.glob("images/*/image.json"))) == 2


@pytest.mark.slow
def test_two_projects_at_once(ground):
    first = ground.start()
    ground.project = shutil.copytree(ground.project, ground.base / "other")
    (ground.project / "schema.sql").write_text("CREATE TABLE customer (name text, other int)")
    second = ground.start()
    assert (ended(first).customers, ended(second).customers) == (2, 1)


def test_a_cache_restored_by_tar_is_used(ground):
    ground.warm()
    archive = ground.base / "cache.tar"
    with tarfile.open(archive, "w") as out:
        out.add(ground.cache, arcname="cache", filter=_as_another_machine)
    shutil.rmtree(ground.cache)
    with tarfile.open(archive) as content:
        content.extractall(ground.base)
    assert ground.visit().how == "image"


def _as_another_machine(entry):
    entry.mtime, entry.uid, entry.gid = 1, os.geteuid(), os.getegid()
    return entry


def test_a_keeper_killed_between_two_leases_is_replaced(ground):
    ground.warm()
    told = ground.visit(
        ASK_PIDS, TRY,
        "os.kill(told['keeper'], signal.SIGKILL)",
        "told['tries'] = [attempt() for _ in range(2)]",
    )  # fmt: skip
    assert told.tries[-1] == 1, told.told
    until(lambda: not ground.remains())


def test_a_server_killed_under_a_manager_is_started_again(ground):
    ground.warm()
    told = ground.visit(
        ASK_PIDS, TRY,
        "os.kill(told['server'], signal.SIGKILL)",
        "told['dead'] = attempt()",
        "manager.stop()",
        "told['again'] = attempt()",
    )  # fmt: skip
    assert told.dead == 1, told.told
    assert told.again == 1
    until(lambda: not ground.remains())


def test_a_process_killed_while_it_makes_the_image_leaves_nothing(ground):
    (ground.project / "schema.sql").write_text(
        "CREATE TABLE customer (name text); SELECT pg_sleep(60)"
    )
    process = ground.start()
    until(lambda: any("SELECT" in line for line in _titles(ground)), 30.0)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not ground.remains())
    assert not list(ground.cache.glob("images/.tmp-*"))
    (ground.project / "schema.sql").write_text("CREATE TABLE customer (name text)")
    assert ground.visit().customers == 1


def _titles(ground):
    found = []
    for place in ground.runtime.glob("freshpg-*/servers/*/data/postmaster.pid"):
        with suppress(OSError):
            pid = place.read_text().split("\n")[0]
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found.extend(Path(f"/proc/{number}/cmdline").read_text() for number in children)
    return found


@pytest.mark.slow
def test_a_keeper_of_another_version_is_named(ground):
    ground.warm()
    source = shutil.copytree(SOURCE, ground.base / "older")
    verbs = source / "freshpg" / "servers" / "keeper" / "verbs.py"
    verbs.write_text(verbs.read_text().replace("PROTOCOL = 1", "PROTOCOL = 0"))
    path = ground.environment()["PYTHONPATH"].split(os.pathsep)
    older = ground.start("input()", PYTHONPATH=os.pathsep.join([str(source), *path[1:]]))
    until(lambda: list(ground.runtime.glob("freshpg-*/servers/*/data/postmaster.pid")), 30.0)
    newer = ground.visit()
    assert newer.error == "KeeperFailed"
    assert "protocol 0" in newer.text
    assert "kill" in newer.text
    out, _ = older.communicate("go on\n", timeout=60)
    assert '"customers": 2' in out


@pytest.mark.slow
def test_another_python_uses_the_same_cache(ground):
    ground.warm()
    other = shutil.which("python3.12") or shutil.which("python3.13")
    if not other:
        pytest.skip("no other Python is installed")
    told = ground.visit(python=other, PYTHONPATH=ground.environment()["PYTHONPATH"])
    if not told.told:
        pytest.skip("the other Python lacks the libraries")
    assert told.customers == 2
