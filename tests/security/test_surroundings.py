"""What we run knows nothing of the caller's environment, and what we did not make stays as it was."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from security.conftest import make_manager

from freshpg.servers.keeper import client

HOSTILE = {
    "LD_PRELOAD": "", "LD_AUDIT": "", "PGHOST": "elsewhere.invalid", "PGOPTIONS": "-c log_statement=all", "PGDATA": "/nowhere",
    "PGPASSWORD": "k4n4r1", "PGSERVICE": "", "DATABASE_URL": "postgresql://u:k4n4r1@elsewhere.invalid/prod", "PYTHONPATH": "/nowhere/k4n4r1",
    "PYTHONSTARTUP": "/nowhere/k4n4r1", "LANG": "xx_YY", "TZ": "Asia/Tokyo", "STRIPE_API_KEY": "k4n4r1", "BASH_ENV": "/nowhere/k4n4r1",
}  # fmt: skip
KNOWN = {"LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PG_GRANDPARENT_PID"}


@pytest.fixture
def started(monkeypatch):
    """Every program that is started from here on: its words and its environment."""
    found = []
    start = subprocess.Popen.__init__

    def noted(self, argv, *rest, **options):
        found.append((list(map(str, argv)), options.get("env")))
        return start(self, argv, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_programs_get_an_environment_made_for_them(street, at_home, started, monkeypatch, tmp_path):
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    # A cache of its own: initdb and the single-user server run, too.
    monkeypatch.setenv("FRESHPG_CACHE", str(street / "cold"))
    monkeypatch.delenv("PGSERVICE")
    with make_manager(tmp_path) as manager, manager.lease() as database:
        with database.connect() as connection:
            assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)
        data = Path(manager.socket_directory).parent / "data"
        postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
        with client.Keeper.find(street / f"freshpg-{os.geteuid()}") as keeper:
            keeper_pid = keeper.pid
        for pid in (postmaster, keeper_pid):
            inside = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
            assert {one.partition("=")[0] for one in inside} - {""} <= KNOWN
    programs = {Path(argv[0]).name for argv, _ in started}
    assert {"initdb", "postgres"} & programs
    for argv, environment in started:
        if Path(argv[0]).name.startswith("python"):
            # Ours: isolated from PYTHON* by its options.
            assert "-I" in argv
            continue
        assert environment is not None, argv
        assert set(environment) <= KNOWN, argv
        assert "k4n4r1" not in str(environment)


def test_nothing_that_we_did_not_make_changes_its_mode_or_owner(street, at_home, tmp_path):
    home = street / "home"
    odd = {"shared": 0o777, "private": 0o700, "sticky": 0o1777, "setgid": 0o2775, "closed": 0o555}
    for name, mode in odd.items():
        (home / name).mkdir(parents=True)
        (home / name / "file").touch()
        (home / name / "file").chmod(0o640)
        (home / name).chmod(mode)
    project = home / "shared" / "project"
    project.mkdir()
    (project / "schema.sql").touch()
    watched = [street, home, project, *home.rglob("*"), *project.parents, Path.home(), Path("/dev/shm")]  # fmt: skip
    users = [Path(path).read_bytes() for path in ("/etc/passwd", "/etc/group")]
    before = {path: _about(path) for path in watched}
    with make_manager(project) as manager, manager.lease() as database:
        database.connect().close()
    assert {path: _about(path) for path in watched} == before
    assert [Path(path).read_bytes() for path in ("/etc/passwd", "/etc/group")] == users


def _about(path):
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
