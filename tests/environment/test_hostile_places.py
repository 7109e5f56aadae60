"""Somebody else was there first: what is not ours is neither used nor changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

STRANGER = 65534
PLACES = "for place in /dev/shm /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $place; done\n"
TRAPS = {
    "a directory of somebody else": "mkdir {0}; chown {1}:{1} {0}",
    "a directory everybody may write": "mkdir {0}; chmod 0777 {0}",
    "a link of somebody else": "mkdir {0}.target; chmod 0777 {0}.target; ln -s {0}.target {0}; chown -h {1} {0}",
    "a link into the void": "ln -s {0}.nothing {0}",
    "a file": "echo mine > {0}; chown {1} {0}",
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    "where",
    [
        pytest.param("/dev/shm", id="memory"),
        pytest.param("/dev/shm /tmp /var/tmp", id="everywhere", marks=pytest.mark.slow),
    ],
)
def test_a_trap_is_passed_by_and_left_as_it_is(disk_ground, as_root, trap, where):
    disk_ground.warm()
    listing = disk_ground.base / "before"
    snapshot = (
        "find /dev/shm /tmp /var/tmp -printf '%p %m %U %G %l\\n' | grep -v ' .*fpg-odd' | sort"
    )
    lay = "\n".join(TRAPS[trap].format(f"{place}/freshpg-0", STRANGER) for place in where.split())
    told = disk_ground.visit(
        "import subprocess",
        f"told['before'] = open({str(listing)!r}).read().splitlines()",
        f"told['after'] = subprocess.run({snapshot!r}, shell=True, text=True, capture_output=True).stdout.splitlines()",
        mounts=f"{PLACES}{lay}\n{snapshot} > {listing}",
        FRESHPG_RUNTIME=None,
    )
    assert told.customers == 2
    assert set(told.before) <= set(told.after)
    inside = [line for line in told.after if line.startswith("/dev/shm/freshpg-0/")]
    assert inside == [line for line in told.before if line.startswith("/dev/shm/freshpg-0/")]


def test_no_mode_of_anything_that_was_there_changes(ground, as_root):
    roots = ["/etc", "/tmp", str(ground.project), str(Path(os.__file__).with_name("json"))]
    before = _modes(roots)
    assert ground.visit(FRESHPG_RUNTIME=ground.runtime).how == "initdb"
    after = _modes(roots)
    assert {path: mode for path, mode in before.items() if after.get(path, mode) != mode} == {}


def test_an_image_that_somebody_else_may_have_written_is_made_again(ground, as_root):
    ground.warm(STRANGER)
    ground.give(0, ground.cache)
    told = ground.visit()
    assert (told.customers, told.how) == (2, "initdb")


def _modes(roots):
    found = {}
    for root in roots:
        for here, _, files in os.walk(root):
            for name in (".", *files):
                path = f"{here}/{name}"
                seen = Path(path).lstat()
                found[path] = json.dumps([seen.st_mode, seen.st_uid, seen.st_gid])
    return found
