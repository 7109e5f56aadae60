"""The storm of SIGKILLs: as many as ``FRESHPG_CHAOS_KILLS`` says, 1,000 for a release; the seed is printed."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from chaos import storm

KILLS = int(os.environ.get("FRESHPG_CHAOS_KILLS", "100"))
SECONDS_A_KILL = 15


def run(*words, seconds):
    return subprocess.run(
        storm.command(*words), capture_output=True, text=True, check=False, timeout=seconds
    )


@pytest.mark.chaos
@pytest.mark.timeout(KILLS * SECONDS_A_KILL + 300)
def test_whatever_is_killed_nothing_is_left():
    seed = os.environ.get("FRESHPG_CHAOS_SEED", str(random.SystemRandom().randrange(10**6)))
    done = run("--seed", seed, "--kills", str(KILLS), seconds=KILLS * SECONDS_A_KILL + 240)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_one_round_again_is_one_command():
    done = run("--seed", "5", "--round", "2", seconds=55)
    assert '"rounds": 1, "failures": 0' in done.stdout, done.stdout + done.stderr


def test_chance_is_the_same_for_the_same_seed():
    first, second = (random.Random("7:3") for _ in range(2))
    assert [first.random() for _ in range(5)] == [second.random() for _ in range(5)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_the_judge_sees_what_is_planted(tmp_path):
    """A judge that finds nothing would make every storm end well."""
    from chaos.ground import Ground

    ground = Ground(tmp_path, "judged")
    place = ground.runtime / "freshpg-0" / "servers" / "left"
    (place / "data").mkdir(parents=True)
    (ground.runtime / "freshpg-0" / "keeper.sock").touch()
    (ground.cache / "images" / ".tmp-left").mkdir(parents=True)
    stray = subprocess.Popen(["sleep", "60"], cwd=place)
    try:
        assert ground.servers_left() == ["freshpg-0/servers/left", "freshpg-0/servers/left/data"]
        assert "freshpg-0/keeper.sock" in ground.left()
        assert ground.drafts_left() == ["cache/images/.tmp-left"]
        assert [name.split()[1] for name in ground.processes()] == [str(stray.pid)]
    finally:
        stray.kill()
        stray.wait()
