"""Find calls in src that may wait for ever: every wait has a deadline, or its reason stands in ALLOWED."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "freshpg"

_USERS_OWN = "a session of the user's: psycopg gives up connecting after 130 s and asyncpg after 60, its statements are the user's to bound"
_IN_STEP = (
    "handed to a step of the user's, which runs in a program that is killed at the step's deadline"
)
_READY = "found readable just before, by a wait with a deadline"
_DONE = "asked only when it is done"
_ENDED = "it has ended its end of the pipe, or was killed"

ALLOWED: dict[str, str] = {
    # What exists to wait; each is woken by what ends it.
    "servers/keeper/loop.py Keeper.run: self.poll.poll(self._timeout())": "the keeper sleeps until a client, a child, a signal or its own clock wakes it; with nothing to keep the clock does",
    "leases/teller.py Teller._run: self._wanted.wait()": "a daemon thread with nothing to say; close() wakes it",
    "tenants/live/door.py Door._serve: ready.select()": "a daemon thread that nobody asks anything; close() wakes it",
    "cli/child.py _Relay.run: self._process.wait()": "freshpg run -- CMD lasts as long as the command; signals are passed on to it",
    "cli/demo.py _Demo._pytest: subprocess.Popen([*argv, *options], cwd=self.project, env={**self._environment, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)": "a run of pytest in the foreground, shown line by line; Ctrl-C ends it",
    # Descriptors that do not block, or that a wait with a deadline found ready.
    "servers/keeper/loop.py Keeper.run: os.read(wakeup, 4096)": "does not block",
    "servers/keeper/loop.py Keeper._accept: self.listener._accept()": "does not block",
    "servers/keeper/loop.py Keeper._serve: connection.sock.recv(65536)": "does not block",
    "supervision/endings.py Watcher._tell: os.read(descriptor, 4096)": _READY,
    "servers/keeper/burial.py Burial.finish: os.read(self.reader, REPORT_BYTES)": "does not block",
    "servers/keeper/launch.py launch: os.read(reader, 4000)": _READY,
    "servers/keeper/remains.py as_user: os.read(reader, 4000)": _READY,
    "tenants/live/door.py Door._serve: self._listener.accept()": _READY,
    # Children that are over.
    "servers/keeper/launch.py launch: os.waitpid(pid, 0)": _ENDED,
    "servers/keeper/remains.py as_user: os.waitpid(child, 0)": _ENDED,
    "tenancy.py TenantDatabases.tenants: future.result()": _DONE,
    "tenancy.py TenantDatabases.address_of: future.result()": _DONE,
    "drivers/psycopg.py connect_outside_loops: thread.join()": "the thread opens one session of the user's, which psycopg gives up after 130 s",
    # Sessions.
    "handle.py Database.connect: psycopg.connect(**self._address(options))": _USERS_OWN,
    "handle.py Database.aconnect: psycopg.AsyncConnection.connect(**self._address(options))": _USERS_OWN,
    "drivers/asyncpg/__init__.py connect: asyncpg.connect(url, **options)": _USERS_OWN,
    "isolation/rollback/session.py RollbackSession.__init__: psycopg.connect(**keywords, autocommit=True)": "connects within 10 s; carries the test's own statements",
    "data/locks.py _connect: psycopg.connect(**keywords, autocommit=True)": "connects within 10 s; what may wait has lock_timeout, or is cancelled at its deadline",
    "bench/timing.py Application._connect: psycopg.connect(database.url, autocommit=True, connect_timeout=10)": "the statement measured, on a database of its own",
    "templates/migrations/session.py ScriptSession.open: psycopg.connect(**keywords, autocommit=True)": "each statement is waited for by select until the step's deadline, then cancelled",
    "tenants/engine.py Engine._request: token.acquire()": "a lock made on the line above, which nobody else has",
    "templates/migrations/arguments.py _open: psycopg.connect(**conninfo.keywords())": _IN_STEP,
    "templates/migrations/arguments.py _open_async: psycopg.AsyncConnection.connect(**conninfo.keywords())": _IN_STEP,
    "templates/migrations/arguments.py _open_async: asyncpg.connect(conninfo.url('asyncpg'))": _IN_STEP,
}
"""``file qualified-name: call`` -> why it needs no deadline of its own."""

ROOMS: dict[str, str] = {
    "testing/proxy/": "delays and hangs on purpose; whatever waits is a task that ends with the proxy",
}
"""Beginnings of files whose waits need none."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A call, the function it stands in, and how it is used there."""

    call: ast.Call
    where: str
    function: ast.AST | None
    is_context: bool
    is_bounded_by_caller: bool

    @property
    def text(self) -> str:
        """The function's source; asked for by few calls, and slow to write."""
        return ast.unparse(self.function) if self.function else ""


@dataclass(frozen=True, slots=True)
class Wait:
    """One call without a deadline."""

    file: str
    line: int
    where: str
    call: str
    why: str

    @property
    def key(self) -> str:
        """What names it in :data:`ALLOWED`, whatever line it is on."""
        return f"{self.file} {self.where}: {self.call}"

    def __str__(self) -> str:
        return f"src/freshpg/{self.file}:{self.line} in {self.where}: {self.call}: {self.why}"


# What a call needs: number of the positional argument that is its deadline, and keywords that are one.
_BY_METHOD: dict[str, tuple[int, frozenset[str]]] = {
    "communicate": (1, frozenset({"timeout"})),
    "wait": (0, frozenset({"timeout"})),
    "wait_for": (1, frozenset({"timeout"})),
    "result": (0, frozenset({"timeout"})),
    "select": (0, frozenset({"timeout"})),
    "join": (0, frozenset({"timeout"})),
    "poll": (0, frozenset({"timeout"})),
    "get": (1, frozenset({"timeout"})),
    "acquire": (1, frozenset({"timeout"})),
}
_BY_NAME: dict[str, tuple[int, frozenset[str]]] = {
    "subprocess.run": (99, frozenset({"timeout"})),
    "subprocess.call": (99, frozenset({"timeout"})),
    "subprocess.check_call": (99, frozenset({"timeout"})),
    "subprocess.check_output": (99, frozenset({"timeout"})),
    "select.select": (3, frozenset()),
    "socket.create_connection": (1, frozenset({"timeout"})),
    "asyncio.wait_for": (1, frozenset({"timeout"})),
    "asyncio.wait": (99, frozenset({"timeout"})),
    "urllib.request.urlopen": (2, frozenset({"timeout"})),
}
_CONNECTS = frozenset(
    {
        "asyncpg.connect",
        "psycopg.connect",
        "psycopg.Connection.connect",
        "psycopg.AsyncConnection.connect",
    }
)
_WITHOUT_ANY = frozenset({"recv", "recvfrom", "recv_into", "accept", "_accept", "sendall"})
_ASK_A_PERSON = frozenset({"input", "click.confirm", "click.prompt", "getpass.getpass"})
_WAIT_FOR_SIGNALS = frozenset({"signal.pause", "signal.sigwait", "signal.sigwaitinfo", "os.wait"})
_CONTEXT = frozenset({"ContextVar"})


def find_waits(source: Path = SOURCE) -> list[Wait]:
    """Every call below ``source`` that has no deadline, allowed or not."""
    found: list[Wait] = []
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += _Module(path.relative_to(source).as_posix(), tree).waits()
    return found


def faults(source: Path = SOURCE, allowed: dict[str, str] = ALLOWED) -> list[str]:
    """One sentence for each wait that is not allowed, and for each reason that no call needs any more."""
    waits = [wait for wait in find_waits(source) if not wait.file.startswith(tuple(ROOMS))]
    keys = {wait.key for wait in waits}
    return [
        *(str(wait) for wait in waits if wait.key not in allowed),
        *(f"tools/check_waits.py allows what is not there: {key}" for key in allowed.keys() - keys),
    ]


class _Module:
    """One file, read once: what is called what, and which names may be ``None``."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file = file
        self.tree = tree
        self.names = dict(_imports(tree))
        self.optional = frozenset(_optional(tree))
        self.context = frozenset(_made_by(tree, _CONTEXT))
        self.pipes = frozenset(_pipe_ends(tree))

    def waits(self) -> Iterator[Wait]:
        """Every call without a deadline."""
        for place in _calls(self.tree):
            why = self._judge(place)
            if why:
                yield Wait(self.file, place.call.lineno, place.where, ast.unparse(place.call), why)

    def _judge(self, place: _Place) -> str:
        name = self._full_name(place.call.func)
        if name in _CONNECTS:
            return _unbounded_session(place)
        if name == "subprocess.Popen" and place.is_context:
            return "waits for the program at the end of the block"
        for judge in (_person, _signal, _child, _lock_of_file, self._pipe):
            if why := judge(name, place.call):
                return why
        if name in _BY_NAME:
            return self._needs_deadline(place.call, *_BY_NAME[name])
        if isinstance(place.call.func, ast.Attribute) and not name.startswith("os."):
            return self._method(place, place.call.func)
        return ""

    def _method(self, place: _Place, function: ast.Attribute) -> str:
        method = function.attr
        if method in _WITHOUT_ANY:
            owner = ast.unparse(function.value)
            is_bounded = owner == "self" or f"{owner}.settimeout(" in place.text
            return "" if is_bounded else "waits as long as the socket lets it"
        is_wait = method in _BY_METHOD and not place.is_bounded_by_caller
        if not is_wait or self._is_another_method(method, place.call):
            return ""
        return self._needs_deadline(place.call, *_BY_METHOD[method])

    def _is_another_method(self, method: str, call: ast.Call) -> bool:
        # str.join, dict.get, pool.acquire(name), generator-driven Connection.wait(gen): told by their arguments.
        if method in {"join", "get"} and call.args:
            return not isinstance(call.args[0], ast.Constant) or call.args[0].value not in {
                None,
                True,
            }
        if method == "get" and ast.unparse(call.func).removesuffix(".get") in self.context:
            return True
        if method == "acquire" and (call.args or call.keywords):
            given = [word.value for word in call.keywords if word.arg in {"blocking", "timeout"}]
            first = (*call.args, *given, None)[0]
            if given and not call.args and call.keywords[0].arg == "timeout":
                return False
            return not (isinstance(first, ast.Constant) and first.value is True)
        # Popen.poll() asks and does not wait; a select.poll is given its milliseconds.
        return method == "poll" and not call.args

    def _needs_deadline(self, call: ast.Call, position: int, keywords: frozenset[str]) -> str:
        given = [keyword.value for keyword in call.keywords if keyword.arg in keywords]
        given += call.args[position : position + 1]
        if not given:
            return "no deadline"
        if isinstance(given[0], ast.Constant) and given[0].value is None:
            return "its deadline is None"
        if self._last_name(given[0]) in self.optional:
            return "its deadline may be None"
        return ""

    def _pipe(self, name: str, call: ast.Call) -> str:
        if name == "os.read":
            return "waits as long as the descriptor lets it"
        is_pipe = name == "open" and call.args and ast.unparse(call.args[0]) in self.pipes
        return "reads a pipe to its end" if is_pipe else ""

    def _full_name(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self._full_name(node.value)}.{node.attr}"
        return ""

    @staticmethod
    def _last_name(node: ast.expr) -> str:
        node = node.func if isinstance(node, ast.Call) else node
        if isinstance(node, ast.Attribute):
            return node.attr
        return node.id if isinstance(node, ast.Name) else ""


def _unbounded_session(place: _Place) -> str:
    # Keywords are often put together before the call, so the function they stand in is read.
    if "connect_timeout" not in place.text:
        return "no deadline to connect"
    return "" if "statement_timeout" in place.text else "statements have no deadline"


def _person(name: str, _call: ast.Call) -> str:
    return "waits for a person" if name in _ASK_A_PERSON else ""


def _signal(name: str, _call: ast.Call) -> str:
    return "waits for a signal or a child" if name in _WAIT_FOR_SIGNALS else ""


def _child(name: str, call: ast.Call) -> str:
    return (
        "waits for a child" if name == "os.waitpid" and "WNOHANG" not in ast.unparse(call) else ""
    )


def _lock_of_file(name: str, call: ast.Call) -> str:
    if name not in {"fcntl.flock", "fcntl.lockf"}:
        return ""
    text = ast.unparse(call)
    return "" if "LOCK_UN" in text or "LOCK_NB" in text else "waits for a lock on a file"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                (
                    one.asname or one.name.split(".")[0],
                    (one.asname and one.name) or one.name.split(".")[0],
                )
                for one in node.names
            )
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


def _optional(tree: ast.Module) -> Iterator[str]:
    """Names of parameters, attributes and functions of one file that are annotated as possibly ``None``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _may_be_none(node.returns):
            yield node.name
        elif isinstance(node, ast.arg) and _may_be_none(node.annotation):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and _may_be_none(node.annotation):
            yield ast.unparse(node.target).rpartition(".")[2]


def _may_be_none(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.BinOp) and "float | None" in ast.unparse(annotation)


def _made_by(tree: ast.Module, makers: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        if isinstance(node.value, ast.Call) and _ends_in(node.value.func, makers):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (ast.unparse(target) for target in targets)


def _pipe_ends(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple):
            continue
        if ast.unparse(node.value) == "os.pipe()":
            yield ast.unparse(node.targets[0].elts[0])


def _calls(tree: ast.Module) -> Iterator[_Place]:
    contexts = {
        id(item.context_expr)
        for node in ast.walk(tree)
        if isinstance(node, ast.With | ast.AsyncWith)
        for item in node.items
    }
    bounded = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and _ends_in(node.func, {"wait_for"})
    }
    bounded |= {
        id(inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith) and _is_timeout(node.items[0].context_expr)
        for inside in ast.walk(node)
    }

    def walk(node: ast.AST, where: tuple[str, ...], function: ast.AST | None) -> Iterator[_Place]:
        for child in ast.iter_child_nodes(node):
            inside, inner = where, function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside = (*where, child.name)
                inner = function if isinstance(child, ast.ClassDef) else child
            if isinstance(child, ast.Call):
                name = ".".join(where) or "<module>"
                yield _Place(child, name, function, id(child) in contexts, id(child) in bounded)
            yield from walk(child, inside, inner)

    yield from walk(tree, (), None)


def _ends_in(function: ast.expr, names: Collection[str]) -> bool:
    function = function.value if isinstance(function, ast.Subscript) else function
    last = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return last in names


def _is_timeout(context: ast.expr) -> bool:
    text = ast.unparse(context)
    return text.startswith("asyncio.timeout(") and "None" not in text


def main() -> int:
    """Print the faults."""
    found = faults()
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
