"""What is claimed before the keeper answers."""

import os
import subprocess
import sys

from keeper_world import until

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
