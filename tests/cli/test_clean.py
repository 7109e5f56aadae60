"""What ``freshpg clean`` finds that no test run leaves: copies of programs, and places of killed demos."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from freshpg.servers import discovery, storage
from freshpg.status.grounds import abandoned_grounds, make_ground
from freshpg.status.remains import Remain, _attempt, _demos, _programs

OWNER = "from freshpg.status.grounds import make_ground; print(make_ground(), flush=True); input()"
OLD = {"postgresql-0123456789abcdef", "nameless-0123456789abcdef"}


@pytest.fixture
def places(monkeypatch):
    """Caches and servers of this test alone, as those of a user who has none yet."""
    ground = Path(tempfile.mkdtemp(prefix="fpgc-"))
    monkeypatch.setenv("FRESHPG_CACHE", str(ground / "cache"))
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))
    yield ground
    shutil.rmtree(ground)


@pytest.fixture
def programs(places):
    copies = places / "cache" / "programs"
    copies.mkdir(parents=True)
    providers = discovery.providers_for("auto", cache_root=storage.cache_root())
    current = discovery.resolve(providers, ask_all=True).binaries_seen[0].build_id
    for name in (f"postgresql-{current}", *OLD, ".copy-x"):
        (copies / name / "bin").mkdir(parents=True)
        (copies / name / ".freshpg-copy").write_text(name)
    return copies, f"postgresql-{current}"


def test_copies_of_programs_that_are_gone_are_removed_and_others_stay(programs):
    copies, current = programs
    assert {Path(one.name).name for one in _programs(do_it=False)} == OLD
    assert len(list(copies.iterdir())) == 4
    assert all(one.done for one in _programs(do_it=True))
    assert {path.name for path in copies.iterdir()} == {current, ".copy-x"}


def test_copies_that_somebody_else_may_have_made_stay(places):
    there = places / "cache" / "programs"
    foreign = {
        "postgresql-17": "postgresql-17",
        "postgresql-0123456789abcdef": None,
        "nameless-0123456789abcdef": "postgresql-0123456789abcdef",
        "postgresql-fedcba9876543210": "\udcff",
        "pgadmin-0123456789abcdef": "pgadmin-0123456789abcdef",
    }
    for name, mark in foreign.items():
        (there / name).mkdir(parents=True)
        if mark is not None:
            (there / name / ".freshpg-copy").write_bytes(mark.encode(errors="surrogateescape"))
    (there / "postgresql-aaaaaaaaaaaaaaaa").symlink_to(there / "postgresql-17")
    assert list(_programs(do_it=True)) == []
    assert {path.name for path in there.iterdir()} == {*foreign, "postgresql-aaaaaaaaaaaaaaaa"}


def test_without_yes_nothing_changes_and_with_it_goes_what_was_shown(programs, project, here):
    copies, current = programs

    def clean(*words):
        told = here("clean", "--json", *words).json
        return told["removed"], [one for one in told["found"] if one["kind"] == "programs"]

    removed, shown = clean()
    assert (removed, len(list(copies.iterdir()))) == (False, 4)
    assert all(one["why"] for one in shown)
    assert {Path(one["name"]).name for one in shown} == OLD
    assert clean("--yes") == (True, [{**one, "done": True} for one in shown])
    assert {path.name for path in copies.iterdir()} == {current, ".copy-x"}
    assert clean() == (False, [])


def test_the_place_of_a_killed_demo_is_removed(places):
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ground = Path(process.stdout.readline().strip())
    try:
        assert ground not in abandoned_grounds()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert str(ground) in {one.name for one in _demos(do_it=False)}
        assert ground.exists()
        found = {one.name: one.done for one in _demos(do_it=True)}
        assert found[str(ground)]
        assert not ground.exists()
    finally:
        shutil.rmtree(ground, ignore_errors=True)


def test_the_place_of_a_running_demo_and_one_of_unknown_owner_stay(places):
    mine = make_ground()
    unknown = make_ground()
    (unknown / "owner.json").unlink()
    try:
        assert not {mine, unknown} & set(abandoned_grounds())
    finally:
        shutil.rmtree(mine)
        shutil.rmtree(unknown)


def test_what_cannot_be_removed_is_told(places):
    def remove():
        raise PermissionError(13, "Permission denied")

    told = _attempt(Remain("programs", "x", "y"), remove, do_it=True)
    assert (told.done, "Permission denied" in told.error) == (False, True)
