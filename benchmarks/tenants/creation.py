"""New tenants: a database, a pool and the first query; one, a hundred, and connections ahead of need."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved
from benchmarks.tenants.town import PER_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.tenants.town import Town

RAW, OURS = "raw clone and connect", "tenant pools"
BARE, ALCHEMY = "raw clone and psycopg_pool", "raw clone and SQLAlchemy engine"
_fresh = itertools.count()


def run(town: Town, name: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows; the town needs no workspace."""
    one = interleaved(_made(town, 1), 3 if quick else 40)
    condition = "database of 10 tables, pool, first query"
    yield from _rows(name, "a new tenant", condition, one, RAW, "raw clone + connect")
    count = 4 if quick else 100
    many = interleaved(_made(town, count), 1 if quick else 4)
    yield from _rows(
        name, f"{count} tenants created and queried", "one after the other, none closed", many, BARE,
        "clones and bare pools",
    )  # fmt: skip
    yield from _warming(town, name, 4 if quick else 100, 2 if quick else 8)


def _rows(  # noqa: PLR0917 (the columns of a table, in their order)
    name: str, subject: str, condition: str, found: dict[str, list[float]], beside: str, words: str
) -> Iterator[Row]:
    base = Sample.of(found[beside]).median
    for what, values in found.items():
        sample = Sample.of(1000 * value for value in values)
        ours = what == OURS
        ratio = sample.median / base / 1000
        yield Row(
            name, f"{subject}: {what}", condition, "ms", sample,
            compared="" if what == beside else f"{ratio:.2f} x {beside}",
            target=f"<= 1.2 x {words}" if ours else "",
            reached=ratio <= 1.2 if ours else None,
        )  # fmt: skip


def _taken(
    town: Town, count: int, way: Callable[[Town, ExitStack], Callable[[str], None]]
) -> float:
    """Return the seconds that it takes to make some tenants; they are removed outside of it."""
    tenants = [f"new{next(_fresh)}" for _ in range(count)]
    with ExitStack() as stack:
        make = way(town, stack)
        began = time.perf_counter()
        for tenant in tenants:
            make(tenant)
        taken = time.perf_counter() - began
    town.remove(tenants)
    return taken


def _made(town: Town, count: int) -> dict[str, Callable[[], float]]:
    ways = {RAW: _raw, BARE: _bare, OURS: _ours}
    if find_spec("sqlalchemy"):
        ways[ALCHEMY] = _alchemy
    return {what: lambda way=way: _taken(town, count, way) for what, way in ways.items()}


def _raw(town: Town, stack: ExitStack) -> Callable[[str], None]:
    admin = stack.enter_context(town.admin())

    def make(tenant: str) -> None:
        town.clone(admin, tenant)
        connection = stack.enter_context(psycopg.connect(town.of(tenant)))
        connection.execute("SELECT 1").fetchone()
        connection.commit()

    return make


def _bare(town: Town, stack: ExitStack) -> Callable[[str], None]:
    from psycopg_pool import ConnectionPool

    admin = stack.enter_context(town.admin())

    def make(tenant: str) -> None:
        town.clone(admin, tenant)
        pool = ConnectionPool(town.of(tenant), min_size=1, max_size=PER_TENANT, open=True)
        stack.enter_context(pool)
        with pool.connection() as connection:
            connection.execute("SELECT 1").fetchone()

    return make


def _alchemy(town: Town, stack: ExitStack) -> Callable[[str], None]:
    from sqlalchemy import create_engine

    admin = stack.enter_context(town.admin())

    def make(tenant: str) -> None:
        town.clone(admin, tenant)
        where = town.keywords(f"ws_{tenant}")
        engine = create_engine("postgresql+psycopg://", connect_args=where)
        stack.callback(engine.dispose)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1").scalar()

    return make


def _ours(town: Town, stack: ExitStack) -> Callable[[str], None]:
    pools = stack.enter_context(town.pools())
    # As those beside it, which are connected before: a control connection that is there already.
    pools.drop_database("nobody")

    def make(tenant: str) -> None:
        pools.ensure_database(tenant)
        pools.fetch_one(tenant, "SELECT 1")

    return make


def _warming(town: Town, name: str, count: int, rounds: int) -> Iterator[Row]:
    tenants = [f"warm{number}" for number in range(count)]
    with town.admin() as admin:
        for tenant in tenants:
            town.clone(admin, tenant)
    ways = {"bare connects": _connects, "warm()": _warm}
    found: dict[str, list[float]] = interleaved(
        {what: (lambda way=way: way(town, tenants)) for what, way in ways.items()}, rounds
    )
    town.remove(tenants)
    bare = Sample.of(1000 * value for value in found["bare connects"])
    ours = Sample.of(1000 * value for value in found["warm()"])
    ratio = ours.median / bare.median
    yield Row(name, "warm-up: bare connects", f"{count} tenants", sample=bare)
    yield Row(
        name, "warm-up: warm()", f"{count} tenants", "ms", ours, f"{ratio:.2f} x bare connects", "<= 1.2 x bare connects",
        ratio <= 1.2,
    )  # fmt: skip


def _connects(town: Town, tenants: list[str]) -> float:
    with ExitStack() as stack:
        began = time.perf_counter()
        for tenant in tenants:
            stack.enter_context(psycopg.connect(town.of(tenant)))
        return time.perf_counter() - began


def _warm(town: Town, tenants: list[str]) -> float:
    with town.pools() as pools:
        began = time.perf_counter()
        warmed: list[Any] = pools.warm(tenants)
        taken = time.perf_counter() - began
        assert len(warmed) == len(tenants)
        return taken
