"""What is claimed before the keeper answers."""

import os
import subprocess
import sys

from keeper_world import until

from freshpg.servers.keeper import identity
from freshpg.servers.keeper.early import EarlyClaims

CLAIM_AND_DIE = """
import os, sys
from pathlib import Path
from freshpg.servers.keeper.early import EarlyClaims
root = Path(sys.argv[1])
EarlyClaims(root).add([root / "servers" / "half"], "a test")
(root / "servers" / "half").mkdir(parents=True)
os._exit(1)
"""
CLAIM_AND_WAIT = CLAIM_AND_DIE.replace(
    "os._exit", "print('claimed', flush=True); sys.stdin.read(); os._exit"
)


def test_what_a_process_claimed_that_was_killed_before_the_keeper_answered_is_removed(world):
    world.root.mkdir(exist_ok=True)
    half = world.root / "servers" / "half"
    subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, str(world.root)], check=False, timeout=30)
    assert half.is_dir()
    with world.connect():
        until(lambda: not half.exists())
        until(lambda: not any((world.root / "claims").glob("*")))


def test_a_living_claimer_hands_over_and_keeps_what_it_took_back(world):
    world.root.mkdir(exist_ok=True)
    kept, lost = world.root / "servers" / "kept", world.root / "servers" / "lost"
    early = EarlyClaims(world.root)
    early.add([kept, lost], "a test")
    assert not early.remain
    kept.mkdir(parents=True)
    lost.mkdir()
    assert early.remain
    with world.connect() as keeper:
        early.hand_over(keeper)
        assert not early.remain
        mine = next(one for one in keeper.status()["clients"] if one["pid"] == os.getpid())
        assert mine["claims"] == sorted(map(str, [kept, lost]))
        keeper.unclaim([kept])
        with world.connect() as other:
            keeper.close()
            until(lambda: not lost.exists())
            until(lambda: other.status()["removing"] == 0)
            assert kept.is_dir()


def test_only_paths_below_the_keepers_own_root_can_be_claimed_early(world, tmp_path):
    early = EarlyClaims(world.root)
    assert early.can_hold([world.root / "servers" / "x"])
    assert not early.can_hold([world.root / "servers" / "x", tmp_path])


def claim_and_die(world):
    half = world.root / "servers" / "half"
    subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, str(world.root)], check=False, timeout=30)
    return half


def test_a_claim_that_came_after_the_keeper_had_looked_is_found_while_others_keep_it_up(world):
    with world.connect() as other:
        assert other.status()["clients"]
        half = claim_and_die(world)
        until(lambda: not half.exists())
        until(lambda: other.status()["removing"] == 0)


def test_a_keeper_that_nobody_needs_any_more_looks_for_such_claims_before_it_leaves(world):
    world.root.mkdir(exist_ok=True)
    with world.connect() as keeper:
        pid = keeper.pid
        # The claimer lives while the keeper looks, and says nothing to it.
        claimer = subprocess.Popen(
            [sys.executable, "-c", CLAIM_AND_WAIT, str(world.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert claimer.stdout.readline() == b"claimed\n"
    half = world.root / "servers" / "half"
    assert half.is_dir()
    assert identity.start_token(pid)
    claimer.communicate()
    until(lambda: not half.exists())
    until(lambda: not identity.start_token(pid))
    assert not any((world.root / "claims").glob("*"))
