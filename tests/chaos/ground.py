"""A private place for one case of chaos, and independent eyes on what is left there."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import freshpg

TESTS = Path(__file__).parents[1]
SOURCE = Path(freshpg.__file__).parents[1]
MEMORY = Path("/dev/shm")
SCHEMA = """\
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE visit (customer bigint NOT NULL REFERENCES customer, at timestamptz DEFAULT now());
"""
SEED = "INSERT INTO customer (name) VALUES ('Ada');\n"
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START", "HOME")
WITHOUT = ("django", "pytest_postgresql", "randomly", "cacheprovider", "hypothesispytest")


def make_base(prefix="fpgc-"):
    base = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if MEMORY.is_dir() else None))
    # The user that PostgreSQL runs as when root starts it has to get through.
    base.chmod(0o711)
    return base


class Ground:
    """A project, a runtime directory and a cache, all private."""

    def __init__(self, base, name="g", *, cache=None):
        self.base = base / name
        self.project, self.runtime, self.cache = (
            self.base / part for part in ("project", "run", "cache")
        )
        for directory in (self.base, self.project, self.runtime):
            directory.mkdir()
            directory.chmod(0o711)
        (self.project / "schema.sql").write_text(SCHEMA)
        (self.project / "seed.sql").write_text(SEED)
        if cache is not None:
            # Links: an image is never changed in place.
            shutil.copytree(cache, self.cache, copy_function=os.link)

    @property
    def environment(self):
        return {
            "FRESHPG_RUNTIME": str(self.runtime),
            "FRESHPG_CACHE": str(self.cache),
            "CI": "true",
        }

    def whole_environment(self, **more):
        """For a process that inherits nothing else."""
        found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        paths = [str(SOURCE), str(TESTS), *(p for p in sys.path if p.endswith("-packages"))]
        return found | {"PYTHONPATH": os.pathsep.join(paths)} | self.environment | more

    def runtime_left(self):
        """Everything below the runtime directory, the keeper's own files included."""
        return sorted(str(path.relative_to(self.runtime)) for path in below(self.runtime))

    def servers_left(self):
        """What a server or a claim left; a keeper may live on for a moment."""
        return [
            name
            for name in self.runtime_left()
            if {"servers", "sockets", "claims"} & set(Path(name).parts[:-1])
        ]

    def drafts_left(self):
        """What was half made in the cache or the project."""
        odd = [
            path
            for place in (self.cache, self.project)
            for path in below(place)
            if path.name.startswith((".tmp-", ".copy-", ".unpack-"))
            or path.suffix in {".tmp", ".draft"}
        ]
        return sorted(str(path.relative_to(self.base)) for path in odd)

    def processes(self, *, keepers=True):
        """Processes that run in, from or for this place."""
        found = {
            name: detail for name, detail in eyes().processes().items() if f"{self.base}/" in detail
        }
        if not keepers:
            found = {
                name: detail for name, detail in found.items() if not eyes().KEEPER.search(detail)
            }
        return found

    def left(self):
        """What may not be there once the keeper, too, has had time to leave."""
        names = self.runtime_left()
        if (fallback := next(self.runtime.glob("*/cache/images"), None)) is not None:
            # Where images go when the cache is full: meant to stay.
            cache = str(fallback.parent.relative_to(self.runtime))
            names = [
                name
                for name in names
                if not f"{cache}/".startswith(f"{name}/") and not name.startswith(f"{cache}/")
            ]
        return [*self.processes().values(), *names]

    def end(self):
        """Whatever happened, end what runs here; for after the judgement."""
        for _ in range(50):
            found = self.processes()
            for name in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(name.split()[1]), 9)
            if not found:
                break
            time.sleep(0.02)
        shutil.rmtree(self.base, ignore_errors=True)


def below(directory):
    """Yield everything below a directory, of which parts may vanish meanwhile."""
    for here, directories, files in os.walk(directory):
        yield from (Path(here, name) for name in (*directories, *files))


def settled(look, seconds):
    """Return what ``look`` still finds once nothing is found any more or the time is over."""
    never, end = threading.Event(), time.monotonic() + seconds
    while (found := look()) and time.monotonic() < end:
        # A look goes through all of /proc.
        never.wait(0.03)
    return found


class Nursery:
    """A process that runs scenarios; see ``nursery.py``."""

    def __init__(self, orders):
        self.orders = orders
        self._asked = 0
        orders.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "chaos.nursery"]
        # With segments of its own, so that nobody else's are taken for ours.
        self.alone = may_unshare_ipc()
        paths = [str(SOURCE), str(TESTS), *(p for p in sys.path if p.endswith("-packages"))]
        self._process = subprocess.Popen(
            ["unshare", "--ipc", *command] if self.alone else command,
            env={
                **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
                "PYTHONPATH": os.pathsep.join(paths),
                "FRESHPG_FAULTS": str(orders),
            },
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, ground, scenario, **environment):
        """Run a scenario to its end, or death, and return what became of it."""
        return self._ask(
            scenario=scenario,
            project=str(ground.project),
            environment={**ground.environment, **environment},
        )

    def segments(self):
        """System V segments there are."""
        return self._ask(segments=True)["segments"] if self.alone else []

    def order(self, point, action):
        """Have the next process that passes ``point`` do ``action``."""
        (self.orders / point).write_text(action)

    def was_fired(self, point):
        """Whether an order was carried out, and forget it either way."""
        fired = self.orders / f"{point}.fired"
        was = fired.exists()
        for path in (fired, self.orders / point):
            path.unlink(missing_ok=True)
        return was

    def _ask(self, **order):
        self._asked += 1
        self._process.stdin.write(json.dumps({"number": self._asked, **order}) + "\n")
        self._process.stdin.flush()
        # A test that was timed out while it waited left its answer unread.
        while (answer := json.loads(self._process.stdout.readline())).pop("number") < self._asked:
            pass
        return answer

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def may_unshare_ipc():
    try:
        return (
            subprocess.run(
                ["unshare", "--ipc", "true"], capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


def eyes():
    """The module that looks at the system without a line of freshpg in it."""
    global _EYES  # noqa: PLW0603 (loaded once)
    if _EYES is None:
        path = TESTS.parent / "tools" / "check_leftovers.py"
        spec = importlib.util.spec_from_file_location("chaos_eyes", path)
        _EYES = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_EYES)
    return _EYES


_EYES = None
