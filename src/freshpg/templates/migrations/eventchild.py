"""Starts an event-sourced application once, inside the child process, so that it creates its tables."""

from __future__ import annotations

import inspect
import os
from typing import Any

from eventsourcing.application import Application
from eventsourcing.system import SingleThreadedRunner, System


def start_and_close(named: Any) -> None:
    """Start whatever was named, and close it.

    Raises:
        TypeError: It is no application, and calling it gives none.
    """
    if isinstance(named, System):
        # Leaders and followers have tables that their classes alone would not create.
        runner: SingleThreadedRunner[Any] = SingleThreadedRunner(named)
        runner.start()
        runner.stop()
        return
    made = named if isinstance(named, Application) else _called(named)
    if not isinstance(made, Application):
        message = f"it is {type(made).__name__}, and no Application of the library eventsourcing"
        raise TypeError(message)
    made.close()


def _called(named: Any) -> Any:
    if not callable(named):
        return named
    takes_one = any(
        parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        for parameter in inspect.signature(named).parameters.values()
    )
    return named(dict(os.environ)) if takes_one else named()
