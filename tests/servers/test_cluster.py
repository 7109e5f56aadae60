from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from servers.postmasters import running

from freshpg.core.clock import Deadline
from freshpg.core.errors import DiskFull, ImageInvalid, ServerStartFailed, WaitTimedOut
from freshpg.servers.cluster import ClusterOptions, create_cluster, ensure_base_image, single_user
from freshpg.servers.control_file import parse_control_file
from freshpg.servers.images import ImageStore
from freshpg.servers.slimming import slim


@pytest.fixture
def admin(server):
    with psycopg.connect(**server.keywords(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def data(store, base_image, ground, run_as):
    """A copy of the base image."""
    store.copy_to(base_image, ground / "data", run_as)
    return ground / "data"


def test_tests_get_a_role_that_is_no_superuser_and_makes_nothing(admin):
    rows = admin.execute(
        "SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles"
        " WHERE rolname !~ '^pg_' ORDER BY rolname"
    ).fetchall()
    assert rows == [
        ("freshpg_admin", True, True, True, True),
        ("freshpg_superuser", True, True, False, False),
        ("postgres", True, False, False, False),
    ]


def test_text_sorts_by_code_point_and_letters_have_case(admin):
    sorting = "SELECT array_agg(x ORDER BY x) FROM unnest(ARRAY['b', 'B', 'a', 'é', 'Z']) x"
    assert admin.execute(sorting).fetchone() == (["B", "Z", "a", "b", "é"],)
    assert admin.execute("SELECT lower('ÀÉ'), 'é' ~ '^[[:alpha:]]$'").fetchone() == ("àé", True)


def test_the_surroundings_decide_nothing(admin):
    rows = admin.execute(
        "SELECT current_setting('server_encoding'), current_setting('TimeZone'), current_setting('lc_messages'),"
        " current_setting('default_text_search_config'), current_setting('wal_segment_size')"
    ).fetchone()
    assert rows == ("UTF8", "UTC", "C", "pg_catalog.english", "1MB")


def test_a_database_can_be_made_from_template0(admin):
    admin.execute("CREATE DATABASE other TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    admin.execute("DROP DATABASE other")


def test_catalogs_are_as_healthy_as_before_slimming(admin):
    admin.execute("VACUUM")
    assert admin.execute("SELECT count(*) FROM pg_class WHERE relpages > 0").fetchone()[0] > 100


def test_the_environment_of_the_caller_changes_nothing(binaries, ground, run_as, monkeypatch):
    for name, value in {
        "LANG": "xx_XX.nowhere",
        "LC_ALL": "tlh_KX",
        "TZ": "Mars/Olympus",
        "PGDATA": "/nonexistent",
        "PGOPTIONS": "-c nonsense=1",
    }.items():
        monkeypatch.setenv(name, value)
    create_cluster(binaries, ClusterOptions(), ground / "data", run_as, Deadline(60.0))
    control = parse_control_file((ground / "data/global/pg_control").read_bytes())
    assert control.is_shut_down


def test_a_refused_initdb_shows_its_words_and_leaves_no_directory(binaries, ground, run_as):
    with pytest.raises(ServerStartFailed, match="tlh_KX"):
        create_cluster(
            binaries, ClusterOptions(locale="tlh_KX"), ground / "data", run_as, Deadline(60.0)
        )
    assert list(ground.iterdir()) == []


@pytest.fixture
def leaves_no_memory(run_as):
    """Nothing of the user that runs PostgreSQL is in shared memory after the test but not before, used by nobody."""
    before = _segments(run_as.uid)
    yield
    end = time.monotonic() + 5.0
    # Servers of others start and end meanwhile: theirs are in use a moment after they appeared.
    while left := _segments(run_as.uid) - before:
        assert time.monotonic() < end, left
        threading.Event().wait(0.01)


def _segments(uid):
    """Return the segments of ``uid`` that nobody uses."""
    heading, *rows = (line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines())
    listed = [dict(zip(heading, row, strict=False)) for row in rows]
    found = {
        ("sysv", row["shmid"]) for row in listed if int(row["uid"]) == uid and row["nattch"] == "0"
    }
    mapped = "".join(_read(maps) for maps in Path("/proc").glob("[0-9]*/maps"))
    for segment in Path("/dev/shm").glob("PostgreSQL.*"):
        with suppress(FileNotFoundError):
            if segment.stat().st_uid == uid and segment.name not in mapped:
                found.add(("posix", segment.name))
    return found


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.usefixtures("leaves_no_memory")
def test_an_initdb_that_takes_too_long_is_ended(binaries, ground, run_as):
    with pytest.raises(ServerStartFailed, match="did not end within"):
        create_cluster(binaries, ClusterOptions(), ground / "data", run_as, Deadline(0.0))
    assert list(ground.iterdir()) == []


@pytest.mark.usefixtures("leaves_no_memory")
@pytest.mark.parametrize("signals", [1, 5, 25])
def test_an_initdb_whose_programs_are_killed_leaves_no_shared_memory(
    binaries, ground, run_as, signals
):
    """Killed as soon as they have made theirs: the first ones, then one that has run for a while."""
    made, over = [], threading.Event()

    def kill_what_uses_memory():
        data = ground / "data"
        while not over.wait(0.0005):
            for pid in (int(entry.name) for entry in Path("/proc").glob("[0-9]*")):
                if _works_in(pid, data) and "/SYSV" in _read(Path(f"/proc/{pid}/maps")):
                    made.append(pid)
                    if len(made) >= signals:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_what_uses_memory)
    killer.start()
    try:
        with pytest.raises(ServerStartFailed):
            create_cluster(binaries, ClusterOptions(), ground / "data", run_as, Deadline(60.0))
    finally:
        over.set()
        killer.join()
    assert made
    assert list(ground.iterdir()) == []


def _works_in(pid, directory):
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory
    except OSError:
        return False


def test_an_existing_directory_is_not_touched(binaries, ground, run_as):
    (ground / "data").mkdir(mode=0o755)
    (ground / "data" / "mine").touch()
    with pytest.raises(FileExistsError):
        create_cluster(binaries, ClusterOptions(), ground / "data", run_as, Deadline(60.0))
    assert (ground / "data" / "mine").exists()


def test_a_failing_statement_without_a_server_is_an_error(binaries, data, run_as):
    with pytest.raises(ServerStartFailed, match="no_such_table"):
        single_user(
            binaries, data, ["SELECT * FROM no_such_table"], run_as=run_as, deadline=Deadline(20.0)
        )


def test_slimming_again_removes_what_a_run_left_and_the_cluster_starts(binaries, data, run_as):
    files_before = {path.relative_to(data) for path in data.rglob("*")}
    with (
        running(binaries, data, run_as) as conninfo,
        psycopg.connect(**conninfo.keywords()) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    slim(data)
    left = {path.relative_to(data) for path in data.rglob("*")} - files_before
    assert [path for path in left if path.parts[0] not in {"base", "global", "pg_wal"}] == []
    assert len(list((data / "pg_wal").glob("0*"))) == 1
    with (
        running(binaries, data, run_as) as conninfo,
        psycopg.connect(**conninfo.keywords()) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (100,)


def test_a_cluster_that_was_not_shut_down_keeps_its_wal(binaries, data, run_as):
    postmaster = running(binaries, data, run_as)
    with (
        postmaster as conninfo,
        psycopg.connect(**conninfo.keywords(), autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE written (n int)")
        wal = set((data / "pg_wal").iterdir())
        with pytest.raises(ImageInvalid, match="in production"):
            slim(data)
        assert set((data / "pg_wal").iterdir()) == wal


def test_a_base_image_is_made_once_per_build_and_options(
    binaries, base_image, store, ground, run_as
):
    again = ensure_base_image(
        store, binaries, ClusterOptions(), ground / "new", run_as, deadline=Deadline(60.0)
    )
    assert again == base_image
    assert list(ground.iterdir()) == []


def test_nothing_of_the_making_stays_beside_the_image(base_image, common_ground):
    assert not (common_ground / "new").exists()
    assert base_image.manifest.build_seconds > 0


def test_a_base_image_of_which_another_process_is_the_maker_is_waited_for(
    binaries, base_image, ground, run_as
):
    store = ImageStore(ground / "cache")
    with (
        store.building(base_image.key, Deadline(5.0)),
        pytest.raises(WaitTimedOut, match=f"process {os.getpid()} still holds the lock"),
    ):
        ensure_base_image(
            store, binaries, ClusterOptions(), ground / "new", run_as, deadline=Deadline(0.0)
        )


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="makes a small disk")
@pytest.mark.usefixtures("leaves_no_memory")
def test_a_full_disk_is_called_by_its_name(binaries, ground, run_as):
    small = ground / "small"
    small.mkdir(mode=0o711)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=711", "none", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("file systems may not be mounted here")
    try:
        with pytest.raises(DiskFull, match="No space left"):
            create_cluster(binaries, ClusterOptions(), small / "data", run_as, Deadline(60.0))
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
