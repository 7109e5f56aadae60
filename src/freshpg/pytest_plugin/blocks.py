"""Errors of ours as short blocks instead of stacks of ours."""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import pytest

from freshpg.core.errors import FreshpgError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_OURS = Path(__file__).parent.parent


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn our errors into pytest's way to refuse an option: the block alone, exit code 4."""
    try:
        yield
    except FreshpgError as error:
        raise pytest.UsageError(str(error)) from None


def hide_our_frames(excinfo: pytest.ExceptionInfo[BaseException] | None) -> None:
    """Let the stack of our error end at the last line that is not ours: the user's, who got it."""
    if excinfo is None or not isinstance(excinfo.value, FreshpgError):
        return
    last = None
    for frame, _line in walk_tb(excinfo.tb):
        if not _is_ours(frame.f_code.co_filename):
            last = frame
    entry: TracebackType | None = excinfo.tb
    while entry is not None and last is not None:
        # pytest cuts and filters by following tb_next, so the rest has to go from there.
        entry.tb_next = None if entry.tb_frame is last else entry.tb_next
        entry = entry.tb_next


def _is_ours(file: str) -> bool:
    return file == contextlib.__file__ or Path(file).is_relative_to(_OURS)


def shorten(
    report: pytest.TestReport,
    excinfo: pytest.ExceptionInfo[BaseException] | None,
    told: dict[str, str],
) -> None:
    """Show our error at set-up or teardown as its block; in full once, then by its first line.

    Args:
        report: Changed in place.
        excinfo: What the phase ended with.
        told: Blocks shown so far, and the test each was shown at; changed in place.
    """
    if report.when == "call" or excinfo is None or not isinstance(excinfo.value, FreshpgError):
        return
    error = excinfo.value
    block = str(error)
    first = told.setdefault(block, report.nodeid)
    if first != report.nodeid:
        block = f"{error.headline}\n  said in full at {first}"
    report.longrepr = _plain(block, in_summary=error.headline)


def _plain(text: str, *, in_summary: str) -> Any:
    """Return what pytest shows for a failure of this text without a stack."""
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception as failure:
        shown = pytest.ExceptionInfo.from_exception(failure).getrepr(style="value")
        if shown.reprcrash is not None:
            shown.reprcrash.message = in_summary
        return shown
