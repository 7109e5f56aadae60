"""What is left when a test run is ended the hard way: freshpg and its peers, one table.

    python -m benchmarks.survival            prints the table, and writes survival.md beside this file

Every cell is a suite of one test in a place of its own, ended while the test runs, and looked at some seconds later
with the system's eyes: PostgreSQL processes that work in that place, and data directories in it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import freshpg

HERE = Path(__file__).parent
SETTLING = 6.0
"""Seconds after the end until what is there counts as left: as long as slow but honest clean-up may take."""
START_SECONDS = 60.0
PEERS = {
    "freshpg": (
        "freshpg",
        "",
        "def test_it(pg):\n    pg.connect().close()",
    ),
    "pytest-postgresql": (
        "pytest-postgresql",
        (
            "from pytest_postgresql import factories\n"
            "server = factories.postgresql_proc(executable='{bindir}/pg_ctl')\n"
            "connection = factories.postgresql('server')\n"
        ),
        "def test_it(connection):\n    connection.execute('SELECT 1')",
    ),
    "testing.postgresql": (
        "testing.postgresql",
        (
            "import pytest, testing.postgresql\n"
            "@pytest.fixture(scope='session')\n"
            "def server():\n"
            "    with testing.postgresql.Postgresql(postgres='{bindir}/postgres', initdb='{bindir}/initdb') as server:\n"
            "        yield server\n"
        ),
        "def test_it(server):\n    assert server.url()",
    ),
}
PLUGINS = {"freshpg": "freshpg.pytest_plugin", "pytest-postgresql": "pytest_postgresql.plugin"}


@dataclass(frozen=True, slots=True)
class Way:
    """How a run ends: signals to the process or its group, or something the test does."""

    name: str
    signals: tuple[signal.Signals, ...] = ()
    group: bool = False
    act: str = "time.sleep(60)"
    words: tuple[str, ...] = ()


WAYS = (
    Way("SIGTERM", (signal.SIGTERM,)),
    Way("SIGHUP", (signal.SIGHUP,)),
    Way("SIGINT (one Ctrl-C)", (signal.SIGINT,)),
    Way("SIGINT twice", (signal.SIGINT, signal.SIGINT)),
    Way("SIGQUIT", (signal.SIGQUIT,)),
    Way("SIGKILL, pytest only", (signal.SIGKILL,)),
    Way("SIGKILL, whole group", (signal.SIGKILL,), group=True),
    Way("test calls os._exit(0)", act="os._exit(0)"),
    Way("segmentation fault", act="ctypes.string_at(0)"),
    Way("pytest-timeout, thread method", words=("--timeout=15", "--timeout-method=thread")),
)


@dataclass(frozen=True, slots=True)
class Left:
    """What was left of one run."""

    servers: int
    megabytes: int

    def __str__(self) -> str:
        if not (self.servers or self.megabytes):
            return "nothing"
        server = "server" if self.servers else ""
        data = f"{self.megabytes} MB" if self.megabytes else ""
        return " + ".join(part for part in (server, data) if part)


def main() -> int:
    """Run every cell; 0 when nothing of freshpg's was left."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survival", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="runs of each cell; the worst counts")
    parser.add_argument("--output", type=Path, default=HERE / "survival.md")
    asked = parser.parse_args()
    table: dict[str, dict[str, list[Left]]] = {}
    for way in WAYS:
        for peer in PEERS:
            found = [run(peer, way) for _ in range(asked.rounds)]
            table.setdefault(way.name, {})[peer] = found
            print(f"{way.name}: {peer}: {_cell(found)}", flush=True)
    text = _markdown(table, asked.rounds)
    asked.output.write_text(text)
    print(text)
    return int(any(str(left) != "nothing" for row in table.values() for left in row["freshpg"]))


def run(peer: str, way: Way) -> Left:
    """Return what one run left; it is removed then."""
    base = Path(tempfile.mkdtemp(prefix="fpgs-", dir="/dev/shm"))
    user = _user()
    try:
        for part in ("", "tmp", "run", "project"):
            directory = base / part
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
            os.chown(directory, user.pw_uid, user.pw_gid)
        _write_suite(peer, way, base / "project")
        suite = subprocess.Popen(_command(peer, way, base), **_circumstances(base, user))
        _wait(
            lambda: (base / "tmp" / "reached").exists() or suite.poll() is not None, START_SECONDS
        )
        if not (base / "tmp" / "reached").exists():
            raise SystemExit(f"{peer} did not start: {(base / 'tmp' / 'log').read_text()}")
        for number in way.signals:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if way.group else os.kill)(suite.pid, number)
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            suite.wait(30)
        _wait(lambda: not _left(base).servers and not _left(base).megabytes, SETTLING)
        return _left(base)
    finally:
        _remove(base)


def _write_suite(peer: str, way: Way, project: Path) -> None:
    _, conftest, test = PEERS[peer]
    (project / "conftest.py").write_text(conftest.replace("{bindir}", str(_bindir())))
    reached = "open(os.environ['TMPDIR'] + '/reached', 'w').close()"
    (project / "test_it.py").write_text(
        f"import ctypes, os, time\n{test}\n    {reached}\n    {way.act}\n"
    )
    (project / "schema.sql").write_text("CREATE TABLE item (id int);\n")
    (project / "freshpg.toml").write_text(
        '[databases.main]\nname = "item_test"\nmigrations = ["schema.sql"]\n'
    )


def _command(peer: str, way: Way, base: Path) -> list[str]:
    plugins = [
        word for name in (PLUGINS.get(peer), "pytest_timeout") if name for word in ("-p", name)
    ]
    return [
        _python(),
        "-m",
        "pytest",
        "-q",
        *plugins,
        *way.words,
        "-p",
        "no:cacheprovider",
        str(base / "project"),
    ]


def _circumstances(base: Path, user: pwd.struct_passwd) -> dict[str, object]:
    paths = [
        str(Path(freshpg.__file__).parents[1]),
        *(p for p in sys.path if p.endswith("-packages")),
    ]
    identity = (
        {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    return {
        "cwd": base / "project",
        "env": {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(base / "tmp"),
            "TMPDIR": str(base / "tmp"),
            "LANG": "C.UTF-8",
            "CI": "1",
            "FRESHPG_RUNTIME": str(base / "run"),
            "FRESHPG_CACHE": str(base / "tmp" / "cache"),
        },
        "stdin": subprocess.DEVNULL,
        "stdout": (base / "tmp" / "log").open("wb"),
        "stderr": subprocess.STDOUT,
        "start_new_session": True,
        **identity,
    }


def _left(base: Path) -> Left:
    return Left(len(_servers(base)), round(sum(map(_size, _data_directories(base))) / 1e6))


def _servers(base: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            where = str((entry / "cwd").readlink())
            if where.startswith(f"{base}/") and "postgres" in (entry / "comm").read_text():
                found.append(int(entry.name))
    return found


def _data_directories(base: Path) -> list[Path]:
    # Neither the cluster inside a data directory (base/1 has a PG_VERSION too) nor an image, which is one file.
    return [path.parent for path in base.rglob("PG_VERSION") if (path.parent / "global").is_dir()]


def _size(directory: Path) -> int:
    total = 0
    for here, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(here, name).lstat().st_blocks * 512
    return total


def _remove(base: Path) -> None:
    for _ in range(100):
        pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _works_in(entry, base)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            break
        time.sleep(0.05)
    shutil.rmtree(base, ignore_errors=True)


def _works_in(entry: Path, base: Path) -> bool:
    with contextlib.suppress(OSError):
        command = (entry / "cmdline").read_bytes().decode(errors="replace")
        return str((entry / "cwd").readlink()).startswith(f"{base}/") or f"{base}/run" in command
    return False


def _wait(condition, seconds: float) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def _user() -> pwd.struct_passwd:
    """Root cannot run the peers' servers, so all run as the same ordinary user."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def _python() -> str:
    """Return a Python that the user can run."""
    own = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    return own if os.geteuid() == 0 and Path(own).exists() else sys.executable


def _bindir() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise SystemExit("the peers need a PostgreSQL in /usr/lib/postgresql")
    return found[-1].parent


def _cell(found: list[Left]) -> str:
    dirty = [left for left in found if str(left) != "nothing"]
    if not dirty:
        return "nothing"
    worst = max(dirty, key=lambda left: (left.servers, left.megabytes))
    return f"{worst}" + (f" ({len(dirty)} of {len(found)})" if len(found) > 1 else "")


def _markdown(table: dict[str, dict[str, list[Left]]], rounds: int) -> str:
    heads = [f"{peer} {version(package)}" for peer, (package, _, _) in PEERS.items()]
    lines = [f"| the run ends by | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for way, row in table.items():
        lines.append(f"| {way} | {' | '.join(_cell(row[peer]) for peer in PEERS)} |")
    where = f"{rounds} run{'s' * (rounds > 1)} a cell, looked at {SETTLING:g} s after the end"
    return "\n".join(lines) + f"\n\n{where}.\n"


if __name__ == "__main__":
    raise SystemExit(main())
