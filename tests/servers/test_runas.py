from __future__ import annotations

import os
from pathlib import Path

import pytest

from freshpg.core.errors import SettingsInvalid
from freshpg.servers import runas

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a choice")


def test_an_ordinary_user_runs_servers_itself(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert runas.choose({"FRESHPG_RUN_AS": "nobody"}).uid == 54321
    assert runas.choose({}).is_ourselves


@needs_root
def test_root_never_runs_a_server():
    assert runas.choose({}).uid != 0


@needs_root
def test_root_may_name_the_user_by_name_or_number():
    assert runas.choose({"FRESHPG_RUN_AS": "nobody"}).name == "nobody"
    assert runas.choose({"FRESHPG_RUN_AS": "54321"}).uid == 54321


@needs_root
@pytest.mark.parametrize("wanted", ["root", "0", "no-such-user"])
def test_root_or_an_unknown_user_is_refused(wanted):
    with pytest.raises(SettingsInvalid) as refused:
        runas.choose({"FRESHPG_RUN_AS": wanted})
    assert wanted in refused.value.on


@needs_root
def test_without_any_known_user_the_kernels_nobody_is_taken(monkeypatch):
    monkeypatch.setattr(runas, "_by_name", lambda _: None)
    assert runas.choose({}) == runas.RunAs(65534, 65534)


@needs_root
def test_a_program_below_a_private_directory_cannot_be_reached(tmp_path_factory):
    nobody = runas.RunAs(65534, 65534)
    program = tmp_path_factory.mktemp("private") / "postgres"
    program.touch(mode=0o755)
    program.parent.chmod(0o700)
    before = program.parent.stat().st_mode
    assert not runas.can_reach(nobody, program)
    assert program.parent.stat().st_mode == before


def test_a_program_everybody_may_run_can_be_reached():
    assert runas.can_reach(runas.choose({}), Path("/bin/sh"))
