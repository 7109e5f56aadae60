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
from types import CodeType
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
    """The process that forks; ``addresses`` are those of clusters that tests get in place of new ones.

    With the name of a module and its tests it forks after these were collected, once for all, and each child puts the
    changed function's code in the place of the old. That is for what stands in a function.
    """

    def __init__(
        self, addresses: Sequence[str], module: str = "", tests: Sequence[str] = ()
    ) -> None:
        path = os.pathsep.join(map(str, (ROOT / "tools/mutant_site", ROOT / "src", ROOT / "tests")))
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(addresses), module, *tests],
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
        where: str = "",
        seconds: float = 300,
    ) -> Trial:
        """Run the tests, or ``only`` some of them in this order, with this source in the module's place.

        Where tests were collected already, ``where`` is the function that is another one.
        """
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
                    "where": where,
                }
            )
            pid, code = int(self._hear(60)), ""
            try:
                code = self._hear(seconds)
            finally:
                # Too late, or we are to end ourselves.
                if not code:
                    os.killpg(pid, 9)
            if not code:
                self._hear(30)
            words = said.read_text("utf-8", "replace") if said.exists() else ""
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


class _Forks:
    """A plugin: once the tests are collected, forks for every line of input; the child runs them and returns."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._input, self._output = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
        self._said = Path(os.devnull)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Go on to run the tests, in a child."""
        gc.freeze()
        for line in self._input:
            pid = os.fork()
            if pid == 0:
                os.setsid()
                self._become(json.loads(line), session.items)
                return
            print(pid, file=self._output, flush=True)
            print(_code_of(pid), file=self._output, flush=True)
        os._exit(0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down which test failed."""
        if report.failed:
            with self._said.open("a", encoding="utf-8") as said:
                said.write(f"{report.nodeid} failed in {report.when}\n")

    def _become(self, told: dict[str, Any], items: list[pytest.Item]) -> None:
        import sitecustomize

        self._said = Path(told["said"])
        # The child before took it away.
        Path(os.environ["FRESHPG_RUNTIME"]).mkdir(mode=0o711, exist_ok=True)
        os.environ["MUTANT"] = told["mutant"]
        sitecustomize.use_mutant()
        _replace(self._module, told["mutant"].partition("=")[2], told["where"])
        if told["only"]:
            _Only(told["only"]).pytest_collection_modifyitems(items)


def _replace(module: str, file: str, where: str) -> None:
    """Give a function that was imported already the code that it has in another source."""
    found: Any = sys.modules[module]
    names: list[str] = []
    while not hasattr(found, "__code__"):
        names.append(where.split(".")[len(names)])
        found = vars(found)[names[-1]]
        found = getattr(found, "__func__", getattr(found, "fget", found))
        found = getattr(found, "__wrapped__", found)
    found.__code__ = _find(compile(Path(file).read_text("utf-8"), file, "exec"), ".".join(names))


def _find(code: CodeType, name: str) -> CodeType:
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    for part in inner:
        if part.co_qualname == name:
            return part
        if name.startswith(f"{part.co_qualname}."):
            return _find(part, name)
    raise LookupError(name)


def _code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _try(plugins: list[object], tests: Sequence[str]) -> int:
    # Whether it fails is asked, not the smallest example of it.
    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None)
    words = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--tb=line"]
    # Pytest rewrites assertions of plugins, freshpg is one, and what rewrites also finds.
    words.append("--assert=plain")
    words += ["-m", "not chaos", "--timeout=15", "--hypothesis-profile=mutants"]
    return int(pytest.main([*words, *tests], plugins=plugins))


def main() -> int:
    """Fork for every line of input; say the process's number, and then its exit code. The child returns."""
    import sitecustomize

    shared = _UseShared(json.loads(sys.argv[1]))
    if module := sys.argv[2]:
        return _try([shared, _Forks(module)], sys.argv[3:])
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
            file = told["mutant"].partition("=")[2]
            other = _Only(told["only"]) if told["only"] else _WhoCalls(file, told["calls"])
            return _try([shared, other], told["tests"])
        print(pid, flush=True)
        print(_code_of(pid), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
