"""Runs tests on mutants, each time in a process forked from one that has imported what all of them need.

That leaves a third of what starting Python and pytest anew costs, which is most of it for a mutant that is noticed soon.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from types import FrameType

ROOT = Path(__file__).resolve().parent.parent

# Nothing of what is changed: of freshpg only what pytest loads.
_NEEDED = (
    "_hypothesis_pytestplugin", "_pytest.pytester", "anyio.pytest_plugin", "faker.contrib.pytest.plugin",
    "freshpg.pytest_plugin", "hypothesis.strategies", "psycopg", "pytest_asyncio.plugin", "pytest_timeout", "xdist.plugin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether the tests passed, what they said, how long it took, and which functions of the module each of them called.

    ``called`` has the quickest test first. What other processes called is not seen.
    """

    passed: bool
    said: str
    seconds: float
    called: dict[str, list[str]]


class Trials:
    """The process that forks; ``addresses`` are those of clusters that tests get in place of new ones."""

    def __init__(self, addresses: Sequence[str]) -> None:
        path = os.pathsep.join(map(str, (ROOT / "tools/mutant_site", ROOT / "src", ROOT / "tests")))
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(addresses)],
            cwd=ROOT,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self,
        module: str,
        source: str,
        tests: Sequence[str],
        *,
        only: Sequence[str] = (),
        seconds: float = 300,
    ) -> Trial:
        """Run the tests, or ``only`` some of them in this order, with this source in the module's place."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            file, said, calls = (Path(place, name) for name in ("mutant.py", "said", "calls"))
            file.write_text(source, "utf-8")
            self._tell(
                {
                    "mutant": f"{module}={file}",
                    "said": str(said),
                    "calls": str(calls),
                    "tests": tests,
                    "only": only,
                }
            )
            pid, code = int(self._hear(30)), ""
            try:
                code = self._hear(seconds)
            finally:
                # Too late, or we are to end ourselves.
                if not code:
                    os.killpg(pid, 9)
            if not code:
                self._hear(30)
            words = said.read_text("utf-8", "replace") if code else "did not end"
            called = json.loads(calls.read_text("utf-8")) if calls.exists() else {}
        return Trial(code == "0", words, time.monotonic() - began, called)

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 (for the type checker)
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _hear(self, seconds: float) -> str:
        assert self._process.stdout is not None  # noqa: S101 (for the type checker)
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return self._process.stdout.readline().strip() if ready else ""


class _UseShared:
    """A plugin: tests that want a plain cluster get one that runs already."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    def pytest_configure(self) -> None:
        """Put ours in the place of the function that starts one."""
        import postgres_server  # type: ignore[import-not-found]

        from freshpg.core.conninfo import Conninfo

        start, addresses = postgres_server.running_server, self._addresses

        @contextlib.contextmanager
        def running_server(*options: str, **settings: Any) -> Iterator[Conninfo]:
            if options or settings or not addresses:
                with start(*options, **settings) as address:
                    yield address
            else:
                yield Conninfo.parse(addresses.pop(0))

        postgres_server.running_server = running_server


class _WhoCalls:
    """A plugin: writes down which functions of a file each test calls, the quickest test first."""

    def __init__(self, file: str, calls: str) -> None:
        self._file, self._calls = file, Path(calls)
        self._called: dict[str, tuple[float, list[str]]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch one test, its fixtures too."""
        names: set[str] = set()

        def called(frame: FrameType, *_: object) -> None:
            if frame.f_code.co_filename == self._file:
                names.add(frame.f_code.co_qualname.replace(".<locals>", ""))

        threading.settrace(called)
        sys.settrace(called)
        began = time.monotonic()
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._called[item.nodeid] = (time.monotonic() - began, sorted(names))

    def pytest_sessionfinish(self) -> None:
        """Write it."""
        in_order = sorted(self._called.items(), key=lambda one: one[1][0])
        self._calls.write_text(json.dumps({test: names for test, (_, names) in in_order}), "utf-8")


class _Only:
    """A plugin: runs some tests alone, in the order given."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the others."""
        chosen = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(chosen, key=lambda item: self._places[item.nodeid])


def _try(addresses: list[str], told: dict[str, Any]) -> int:
    # Whether it fails is asked, not the smallest example of it.
    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None)
    words = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--tb=line"]
    # Pytest rewrites assertions of plugins, freshpg is one, and what rewrites also finds.
    words.append("--assert=plain")
    words += ["-m", "not chaos", "--timeout=15", "--hypothesis-profile=mutants"]
    file = told["mutant"].partition("=")[2]
    other = _Only(told["only"]) if told["only"] else _WhoCalls(file, told["calls"])
    return int(pytest.main([*words, *told["tests"]], plugins=[_UseShared(addresses), other]))


def main() -> int:
    """Fork for every line of input; say the process's number, and then its exit code. The child returns."""
    import sitecustomize

    addresses = json.loads(sys.argv[1])
    for name in _NEEDED:
        importlib.import_module(name)
    # Nothing to be looked through for garbage in every child.
    gc.freeze()
    for line in sys.stdin:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            said = os.open(told["said"], os.O_WRONLY | os.O_CREAT)
            for stream in (1, 2):
                os.dup2(said, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.environ["MUTANT"] = told["mutant"]
            sitecustomize.use_mutant()
            return _try(addresses, told)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
