"""Servers started without the code under test."""

from __future__ import annotations

import subprocess
import time

import psycopg

from freshpg.core.conninfo import Conninfo
from freshpg.servers.cluster import ADMIN_ROLE


class running:  # noqa: N801 (reads as a verb: with running(...))
    """A postmaster on a data directory, with its socket inside, ended on leaving."""

    def __init__(self, binaries, data, run_as):
        self.conninfo = Conninfo(host=str(data), user=ADMIN_ROLE, dbname="postgres")
        identity = (
            {}
            if run_as.is_ourselves
            else {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}
        )
        self.process = subprocess.Popen(
            [
                binaries.program("postgres"),
                *("-D", str(data), "-k", str(data), "-h", "", "-F"),
                *("-c", "shared_buffers=16MB", "-c", "max_connections=20"),
            ],
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"LC_ALL": "C", **binaries.environment()},
            **identity,
        )

    def __enter__(self):
        give_up = time.monotonic() + 20.0
        while True:
            try:
                psycopg.connect(**self.conninfo.keywords()).close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > give_up:
                    self.process.kill()
                    raise AssertionError(self.process.communicate()[1].decode()) from None
                time.sleep(0.005)
            else:
                return self.conninfo

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=20)
