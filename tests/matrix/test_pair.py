"""A run that names a PostgreSQL meets that one, and no other that happens to be installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from freshpg.servers.discovery import providers_for, resolve
from freshpg.servers.storage import cache_root
from freshpg.servers.version import PgVersion

WANTED = os.environ.get("TEST_POSTGRES", "")


@pytest.mark.skipif(not WANTED, reason="TEST_POSTGRES names none: the newest at hand is met")
def test_a_server_that_nobody_chose_is_of_the_version_that_the_run_names():
    met = resolve(providers_for("auto", cache_root=cache_root())).binaries.version

    assert met.major == _major(WANTED)


def _major(wanted):
    if os.sep not in wanted:
        return int(wanted)
    said = subprocess.run(
        [Path(wanted, "postgres"), "-V"], capture_output=True, text=True, check=True
    )
    return PgVersion.parse(said.stdout).major
