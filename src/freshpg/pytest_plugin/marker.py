"""The marker ``pg``: what it may say, checked at collection, and what holds for a fixture."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

from freshpg.core.errors import FreshpgError, UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Keep = Literal["failed"] | bool

DRIVERS = ("psycopg", "asyncpg", "psycopg2", "pg8000")


class Wishes(NamedTuple):
    """What one marker says; what it leaves out is for the next marker outwards, then for options and settings."""

    isolation: str | None = None
    databases: tuple[str, ...] = ()
    keep: Keep | None = None
    driver: str | None = None


_READ: dict[int, tuple[pytest.Mark, Wishes]] = {}
"""By identity, as a marker cannot be hashed; each is kept, so that no other one gets its number."""


def pg(
    *,
    isolation: str | None = None,
    databases: Sequence[str] = (),
    keep: Keep | None = None,
    driver: str | None = None,
) -> Wishes:
    """Return what a marker with these arguments says.

    Raises:
        IsolationUnknown: There is no such level.
        UsageInvalid: ``databases`` is not a list of names, or ``keep`` or ``driver`` none of its values.
    """
    if isolation is not None:
        from freshpg.isolation.levels import parse

        parse(isolation)
    if isinstance(databases, str) or not all(isinstance(name, str) for name in databases):
        raise UsageInvalid(
            "a marker was read",
            on="databases",
            seen=repr(databases),
            todo=('give a list of blueprints: databases=["main", "eventstore"]',),
        )
    if keep not in {None, True, False, "failed"}:
        raise UsageInvalid(
            "a marker was read",
            on="keep",
            seen=repr(keep),
            todo=("use True, False or 'failed'",),
        )
    if driver is not None:
        require_driver(driver)
    return Wishes(isolation, tuple(databases), keep, driver)


def require_driver(driver: object) -> None:
    """Check the name of a driver.

    Raises:
        UsageInvalid: There is no such driver.
    """
    if driver not in DRIVERS:
        raise UsageInvalid(
            "a driver was named",
            on=repr(driver),
            seen="it is not known here",
            todo=(f"use one of: {', '.join(DRIVERS)}",),
        )


def wishes(node: pytest.Item | pytest.Collector) -> Wishes:
    """Return what holds for a test, class or module: of each argument, the nearest marker's."""
    said = [read(mark) for mark in node.iter_markers("pg")]
    if len(said) == 1:
        return said[0]
    return Wishes(
        next((one.isolation for one in said if one.isolation is not None), None),
        next((one.databases for one in said if one.databases), ()),
        next((one.keep for one in said if one.keep is not None), None),
        next((one.driver for one in said if one.driver is not None), None),
    )


def read(mark: pytest.Mark) -> Wishes:
    """Return what one marker says; read once, for its tests ask again and again.

    Raises:
        ConfigurationError: It cannot mean anything; see :func:`pg`.
    """
    known = _READ.get(id(mark))
    if known is None:
        known = _READ[id(mark)] = mark, _read(mark)
    return known[1]


def _read(mark: pytest.Mark) -> Wishes:
    signature = inspect.signature(pg)
    try:
        signature.bind(*mark.args, **mark.kwargs)
    except TypeError as error:
        raise UsageInvalid(
            "a marker was read",
            on=f"pytest.mark.pg({_spelled(mark)})",
            seen=str(error),
            todo=(*_nearest(mark, tuple(signature.parameters)), f"write pg{signature}"),
        ) from None
    return pg(**mark.kwargs)


def check_collected(report: pytest.CollectReport) -> pytest.CollectReport:
    """Turn a report into a failed one when something collected carries a marker that cannot work."""
    collected = report.result if report.passed else []
    problems = [block for node in collected for block in _problems(node)]
    if problems:
        report.outcome = "failed"
        report.longrepr = "\n".join(dict.fromkeys(problems))
        report.result = []
    return report


def _problems(node: pytest.Item | pytest.Collector) -> Iterator[str]:
    if not isinstance(node, pytest.Item):
        return
    for owner, mark in node.iter_markers_with_node("pg"):
        try:
            read(mark)
        except FreshpgError as error:
            yield f"{_place(node, owner)}\n{error}"


def _place(item: pytest.Item, owner: object) -> str:
    """Return file and line of the test, or of the class or module that carries the marker."""
    path, line, name = item.reportinfo()
    if isinstance(owner, pytest.Class):
        path, line, _ = owner.reportinfo()
    if isinstance(owner, pytest.Collector):
        name = owner.name
        line = line if isinstance(owner, pytest.Class) else None
    where = f"{path}:{line + 1}" if line is not None else str(path)
    return f"{where}: pytest.mark.pg on {name}"


def _spelled(mark: pytest.Mark) -> str:
    words = [repr(argument) for argument in mark.args]
    words += [f"{key}={value!r}" for key, value in mark.kwargs.items()]
    return ", ".join(words)


def _nearest(mark: pytest.Mark, known: tuple[str, ...]) -> list[str]:
    import difflib

    if mark.args:
        return [f"name the argument: isolation={mark.args[0]!r}"]
    unknown = [key for key in mark.kwargs if key not in known]
    near = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
    return [f"did you mean {near[0]}?"] if near else []
