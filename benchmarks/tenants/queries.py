"""Queries a second from several threads, and from several tasks."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved
from benchmarks.tenants.town import PER_TENANT, at_once, bare_pools, engines, names
from freshpg.tenants import AsyncTenantPools, TenantLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.tenants.town import Town

BARE, OURS, ALCHEMY = "psycopg_pool", "tenant pools", "SQLAlchemy"
TARGET = 0.9


def run(town: Town, name: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    count = 3 if quick else 20
    seconds, rounds = (0.05, 2) if quick else (0.4, 9)
    tenants = names(count)
    with (
        town.pools() as ours,
        bare_pools(town, tenants, least=PER_TENANT) as bare,
        engines(town, tenants) as alchemy,
    ):
        for callers in (2,) if quick else (1, 4, 8):
            ways = {BARE: lambda tenant: query(bare[tenant].connection())}
            ways |= {OURS: lambda tenant: query(ours.tenant(tenant))}
            if alchemy:
                ways[ALCHEMY] = lambda tenant: _statement(alchemy[tenant])
            acts = {
                what: (lambda way=way, callers=callers: rate(way, callers, tenants, seconds))
                for what, way in ways.items()
            }
            found = interleaved(acts, rounds)
            yield from _rows(name, "threads", callers, found)
    for callers in (2,) if quick else (1, 8):
        found = asyncio.run(_tasks(town, tenants, callers, seconds, rounds))
        yield from _rows(name, "tasks", callers, found)


def query(lease: Any) -> None:
    """One statement in a transaction of its own."""
    with lease as connection:
        connection.execute("SELECT count(*) FROM item_1").fetchone()


def _statement(engine: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM item_1").scalar()


def rate(act: Callable[[str], None], callers: int, tenants: list[str], seconds: float) -> float:
    """Return how often a second the callers together did it."""
    end = time.perf_counter() + seconds

    def caller(first: int) -> int:
        done = 0
        for tenant in itertools.cycle(tenants[first:] + tenants[:first]):
            act(tenant)
            done += 1
            if time.perf_counter() >= end:
                return done
        return done

    began = time.perf_counter()
    step = max(1, len(tenants) // callers)
    firsts = [number * step % len(tenants) for number in range(callers)]
    done = sum(at_once([lambda first=first: caller(first) for first in firsts]))
    return done / (time.perf_counter() - began)


def _rows(name: str, kind: str, callers: int, found: dict[str, list[float]]) -> Iterator[Row]:
    condition = f"{callers} {kind}, 20 tenants, one query a transaction"
    for what, values in found.items():
        ratio = Sample.of(
            mine / theirs for mine, theirs in zip(values, found[BARE], strict=True)
        ).median
        ours = what == OURS
        yield Row(
            name, f"queries: {what}", condition, "a second", Sample.of(values),
            compared="" if what == BARE else f"{ratio:.2f} x psycopg_pool, round by round",
            target=f">= {TARGET} x psycopg_pool" if ours else "",
            reached=ratio >= TARGET if ours else None,
        )  # fmt: skip


async def _tasks(
    town: Town, tenants: list[str], callers: int, seconds: float, rounds: int
) -> dict[str, list[float]]:
    from psycopg_pool import AsyncConnectionPool

    async with AsyncExitStack() as stack:
        limits = TenantLimits(max_per_tenant=PER_TENANT)
        ours = AsyncTenantPools(town.of("{tenant}"), limits=limits, **town.options())
        await stack.enter_async_context(ours)
        bare = {}
        for tenant in tenants:
            pool = AsyncConnectionPool(
                town.of(tenant), min_size=PER_TENANT, max_size=PER_TENANT, open=False
            )
            bare[tenant] = await stack.enter_async_context(pool)
            await pool.wait(30)

        async def mine(tenant: str) -> None:
            async with ours.tenant(tenant) as connection:
                await (await connection.execute("SELECT count(*) FROM item_1")).fetchone()

        async def theirs(tenant: str) -> None:
            async with bare[tenant].connection() as connection:
                await (await connection.execute("SELECT count(*) FROM item_1")).fetchone()

        for tenant in tenants:
            await asyncio.gather(*(mine(tenant) for _ in range(PER_TENANT)))
        found: dict[str, list[float]] = {BARE: [], OURS: []}
        acts = {BARE: theirs, OURS: mine}
        for number in range(rounds):
            for what in sorted(found, reverse=bool(number % 2)):
                found[what].append(await _task_rate(acts[what], callers, tenants, seconds))
        return found


async def _task_rate(act: Any, callers: int, tenants: list[str], seconds: float) -> float:
    end = time.perf_counter() + seconds

    async def caller(first: int) -> int:
        done = 0
        for tenant in itertools.cycle(tenants[first:] + tenants[:first]):
            await act(tenant)
            done += 1
            if time.perf_counter() >= end:
                break
        return done

    began = time.perf_counter()
    firsts = [number * len(tenants) // callers for number in range(callers)]
    done = sum(await asyncio.gather(*(caller(first) for first in firsts)))
    return done / (time.perf_counter() - began)
