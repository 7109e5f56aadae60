"""A server that is somebody else's: not freshpg's to start, tune or read the files of."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.data_files import installations
from freshpg.core.conninfo import Conninfo
from freshpg.servers import runas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ground import Ground

# As it comes, but for what makes a run depend on a disk, and room for a schema of a thousand tables.
_OPTIONS = ("fsync=off", "max_locks_per_transaction=128", "listen_addresses=")


@contextmanager
def other_server(ground: Ground) -> Iterator[Conninfo]:
    """Yield the address of its superuser."""
    data = ground.directory("other")
    binaries = installations()[-1]
    who = runas.choose()
    as_user: dict[str, Any] = {}
    if not who.is_ourselves:
        os.chown(data, who.uid, who.gid)
        as_user = {"user": who.uid, "group": who.gid, "extra_groups": []}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": data, **as_user}
    made = [str(binaries.program("initdb")), "-D", str(data), "-U", "boss", "-A", "trust"]
    subprocess.run([*made, "-E", "UTF8", "--locale=C", "--no-sync"], check=True, **quiet)
    argv = [str(binaries.program("postgres")), "-D", str(data), "-k", str(data)]
    argv += [word for option in _OPTIONS for word in ("-c", option)]
    server = subprocess.Popen(argv, **quiet)
    address = Conninfo(host=str(data), user="boss", dbname="postgres")
    try:
        _wait_until_ready(server, address)
        yield address
    finally:
        server.send_signal(3)  # SIGQUIT: nothing in it is to be saved
        server.wait(30)


def _wait_until_ready(server: subprocess.Popen[bytes], address: Conninfo) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(address.url()).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
