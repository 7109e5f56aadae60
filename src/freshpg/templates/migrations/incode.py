"""A callable given in code: it runs in a thread of this process, because it cannot travel to another."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import FreshpgError
from freshpg.templates.digests import digest
from freshpg.templates.migrations.arguments import call_with_database
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.migrations.diagnosis import timed_out
from freshpg.templates.migrations.failure import describe, failed
from freshpg.templates.migrations.sources import digest_files, import_closure

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target


@dataclass(frozen=True, slots=True)
class CallableStep:
    """A function, method, partial or object with ``__call__``."""

    function: Callable[..., Any]
    root: Path

    @property
    def spec(self) -> str:
        """Its name, with its module."""
        plain = _plain(self.function)
        return f"{plain.__module__}.{plain.__qualname__}"

    def parts(self) -> tuple[CallableStep, ...]:
        """Return itself."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return digests of its source, of its arguments when it is a partial, and of what its module imports."""
        plain = _plain(self.function)
        own = Input(self.spec, digest(_source(plain), *_bound(self.function)))
        file = inspect.getsourcefile(plain)
        if file is None or not Path(file).is_file():
            return StepInputs(fixed=(own,))
        files = import_closure(Path(file), plain.__module__, self.root)
        return StepInputs(fixed=(own, *digest_files(files, self.root)))

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Call it in a thread.

        Python cannot end a thread: one that does not return keeps running as a daemon until its session is ended with
        the database it works on.

        Raises:
            MigrationFailed: It raised.
            MigrationTimedOut: It did not return in time.
        """
        caught: list[BaseException] = []

        def work() -> None:
            try:
                call_with_database(self.function, target.conninfo)
            except BaseException as error:  # noqa: BLE001 (sys.exit() in a migration is a failure too)
                caught.append(error)

        thread = threading.Thread(target=work, name=f"freshpg {self.spec}", daemon=True)
        thread.start()
        thread.join(deadline.remaining)
        if thread.is_alive():
            stack = _stack(thread)
            raise timed_out(self.spec, target, deadline.elapsed, on=self.spec, also=stack)
        if caught:
            if isinstance(caught[0], FreshpgError):
                raise caught[0]
            raise failed(self.spec, describe(caught[0], str(self.root))) from caught[0]


def _plain(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return function if hasattr(function, "__qualname__") else type(function)


def _bound(function: Callable[..., Any]) -> list[str]:
    found: list[str] = []
    while isinstance(function, functools.partial):
        found.append(repr((function.args, sorted(function.keywords.items()))))
        function = function.func
    return found


def _source(plain: Any) -> str:
    try:
        return inspect.getsource(plain)
    except (OSError, TypeError):
        # Typed into an interpreter: the compiled code is all there is.
        code = getattr(plain, "__code__", None)
        return f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}" if code else repr(plain)


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 (documented, for debugging)
    if frame is None:
        return ""
    return "\n".join(
        f"| {line}" for line in "".join(traceback.format_stack(frame)[-8:]).splitlines()
    )
