"""A private place for one run: caches, servers and projects in memory where there is some, gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.inside import running
from freshpg.manager import DatabaseManager
from freshpg.servers.keeper.client import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freshpg.core.conninfo import Conninfo

MEMORY = Path("/dev/shm")


class Ground:
    """Directories of one run and the environment of the processes in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.keeper_socket = place / f"freshpg-{os.geteuid()}" / "keeper.sock"
        self._number = 0
        own = {
            "FRESHPG_RUNTIME": str(place),
            "FRESHPG_CACHE": str(place / "cache"),
            "FRESHPG_LINGER": "0",
        }
        # Byte code is written as it is for a user; elsewhere than in the tree that is measured.
        own |= {"PYTHONPYCACHEPREFIX": str(place / "bytecode"), "TMPDIR": str(place)}
        for name in [name for name in os.environ if name.startswith(("FRESHPG_", "PYTEST_", "PG"))]:
            del os.environ[name]
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.update(own)
        sys.dont_write_bytecode = False

    def directory(self, name: str) -> Path:
        """Return a new directory."""
        self._number += 1
        made = self.place / f"{name}-{self._number}"
        made.mkdir()
        return made

    def project(self, schema: str, **settings: Any) -> Path:
        """Return a new project whose one database is made by ``schema``."""
        root = self.directory("project")
        (root / "schema.sql").write_text(schema)
        lines = [f"{key} = {_toml(value)}" for key, value in settings.items()]
        (root / "freshpg.toml").write_text(
            "\n".join(
                [
                    *lines,
                    "[databases.main]",
                    'name = "bench_test"',
                    'migrations = ["schema.sql"]',
                    "",
                ]
            )
        )
        return root

    @contextmanager
    def manager(self, project: Path, **changes: Any) -> Iterator[DatabaseManager]:
        """Yield a started manager of a project."""
        overrides = {key: (value, "benchmark") for key, value in changes.items()}
        with DatabaseManager.from_project(project, overrides=overrides) as manager:
            yield manager

    @contextmanager
    def raw_server(self, project: Path, **changes: Any) -> Iterator[Conninfo]:
        """Yield the control address of a server like the one that freshpg uses, for those it is compared with."""
        with self.manager(project, **changes) as manager:
            yield running(manager).coordination

    def python(
        self, script: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> list[Any]:
        """Run a script in a process of its own and return the JSON values it printed, one a line."""
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, **(environment or {})},
            cwd=self.place,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stderr[-3000:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_for_no_keeper(self) -> None:
        """Return when the keeper of this ground has ended by itself."""
        end = time.monotonic() + 30
        while self.keeper_socket.exists() and time.monotonic() < end:
            time.sleep(0.02)

    def end_servers(self) -> None:
        """End the servers left warm, and wait for the keeper's own end."""
        keeper = Keeper.find(self.keeper_socket.parent) if self.keeper_socket.exists() else None
        if keeper is not None:
            with keeper:
                keeper.stop_all(force=True)
        self.wait_for_no_keeper()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


@contextmanager
def prepared_ground() -> Iterator[Ground]:
    """Yield the ground of a run; nothing of it stays."""
    place = Path(tempfile.mkdtemp(prefix="fpgb-", dir=MEMORY if MEMORY.is_dir() else None))
    # Passable, as a home directory is: as root, servers run as another user.
    place.chmod(0o711)
    ground = Ground(place)
    try:
        yield ground
    finally:
        ground.end_servers()
        shutil.rmtree(place, ignore_errors=True)
