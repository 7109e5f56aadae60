"""What taking a connection from an open pool and giving it back costs, threads and tasks, and how it grows."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved
from benchmarks.tenants.town import PER_TENANT, Town, bare_pools, engines, names
from freshpg.tenants import AsyncTenantPools, TenantLimits
from freshpg.tenants.ledger import Ledger
from freshpg.tenants.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

BARE, OURS, ALCHEMY = "psycopg_pool, one a tenant", "tenant pools", "SQLAlchemy, an engine a tenant"
RAW = "SQLAlchemy's pool alone"
MANY = 100


def run(town: Town, name: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows; the town has a workspace for each tenant."""
    count, batch, rounds = (5, 200, 3) if quick else (MANY, 2000, 40)
    order = _order(count, batch)
    condition = f"{count} tenants, one connection each, chosen at random"
    found = _threads(town, count, order, rounds)
    yield from _rows(name, "checkout and return, threads", condition, found)
    tasks = asyncio.run(_tasks(town, count, order, rounds))
    yield from _rows(name, "checkout and return, asyncio", condition, tasks)
    yield from _options(town, name, order, count, rounds)
    yield from _growth(town, name, quick=quick)


def _order(count: int, batch: int) -> list[str]:
    choice = random.Random(4)
    return [f"t{choice.randrange(count)}" for _ in range(batch)]


def _rows(name: str, subject: str, condition: str, found: dict[str, list[float]]) -> Iterator[Row]:
    bare = Sample.of(found[BARE])
    for what, values in found.items():
        sample = Sample.of(values)
        ours = what == OURS
        ratio = sample.median / bare.median
        yield Row(
            name, f"{subject}: {what}", condition, "us", sample,
            compared="" if what == BARE else f"{ratio:.2f} x psycopg_pool",
            target="<= 1.5 x psycopg_pool" if ours else "",
            reached=ratio <= 1.5 if ours else None,
        )  # fmt: skip


def _threads(town: Town, count: int, order: list[str], rounds: int) -> dict[str, list[float]]:
    tenants = names(count)
    with (
        town.pools() as ours,
        bare_pools(town, tenants) as bare,
        engines(town, tenants) as alchemy,
    ):
        for tenant in tenants:
            with ours.tenant(tenant):
                pass

        def theirs() -> None:
            for tenant in order:
                with bare[tenant].connection():
                    pass

        def sessions() -> None:
            for tenant in order:
                with alchemy[tenant].connect():
                    pass

        def raw() -> None:
            for tenant in order:
                alchemy[tenant].pool.connect().close()

        acts = {BARE: theirs, OURS: lambda: _use(ours, order)}
        if alchemy:
            acts |= {ALCHEMY: sessions, RAW: raw}
        return interleaved(_timed(acts, len(order)), rounds)


def _use(pools: Any, order: list[str]) -> None:
    for tenant in order:
        with pools.tenant(tenant):
            pass


def _timed(acts: dict[str, Callable[[], None]], each: int) -> dict[str, Callable[[], float]]:
    """Return each act as one that tells its microseconds."""

    def timed(act: Callable[[], None]) -> Callable[[], float]:
        def call() -> float:
            began = time.perf_counter()
            act()
            return 1e6 * (time.perf_counter() - began) / each

        return call

    return {what: timed(act) for what, act in acts.items()}


async def _tasks(town: Town, count: int, order: list[str], rounds: int) -> dict[str, list[float]]:
    from psycopg_pool import AsyncConnectionPool

    limits = TenantLimits(max_per_tenant=PER_TENANT)
    async with AsyncExitStack() as stack:
        ours = AsyncTenantPools(town.of("{tenant}"), limits=limits, **town.options())
        await stack.enter_async_context(ours)
        bare = {}
        for tenant in names(count):
            pool = AsyncConnectionPool(town.of(tenant), min_size=1, max_size=PER_TENANT, open=False)
            bare[tenant] = await stack.enter_async_context(pool)
            await pool.wait(30)
            async with ours.tenant(tenant):
                pass

        async def mine() -> None:
            for tenant in order:
                async with ours.tenant(tenant):
                    pass

        async def theirs() -> None:
            for tenant in order:
                async with bare[tenant].connection():
                    pass

        return await _interleaved_tasks({BARE: theirs, OURS: mine}, rounds, len(order))


async def _interleaved_tasks(
    acts: dict[str, Callable[[], Awaitable[None]]], rounds: int, each: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {what: [] for what in acts}
    for number in range(rounds):
        for what in sorted(acts, reverse=bool(number % 2)):
            began = time.perf_counter()
            await acts[what]()
            found[what].append(1e6 * (time.perf_counter() - began) / each)
    return found


def _options(town: Town, name: str, order: list[str], count: int, rounds: int) -> Iterator[Row]:
    """What idle clean-up, and records of stacks, add to a checkout."""
    never = TenantLimits(max_per_tenant=PER_TENANT, idle=None, lifetime=None)
    often = TenantLimits(max_per_tenant=PER_TENANT, idle=3600, lifetime=None)
    with (
        town.pools(limits=never) as plain,
        town.pools(limits=often) as cleaned,
        town.pools(limits=never, leak_after=3600.0) as recorded,
    ):
        kinds = {"no upkeep": plain, "idle clean-up": cleaned, "stacks recorded": recorded}
        for pools in kinds.values():
            _use(pools, order)
        round_of = Sample.of(_expiring(cleaned) for _ in range(rounds))
        upkeep = Upkeep(cleaned, 0.05)
        upkeep.start()
        acts = {kind: (lambda pools=pools: _use(pools, order)) for kind, pools in kinds.items()}
        found = interleaved(_timed(acts, len(order)), rounds)
        upkeep.stop()
    plain_one = Sample.of(found["no upkeep"]).median
    yield Row(
        name, "one round of idle clean-up, nothing due", f"{count} open tenants", "us", round_of,
        f"{round_of.median / 30e6:.2e} of the time at one round in 30 s", "<= 0.1 %",
        round_of.median / 30e6 <= 0.001,
    )  # fmt: skip
    words = {
        "idle clean-up": "idle clean-up 20 times a second",
        "stacks recorded": "stacks recorded",
    }
    for kind, what in words.items():
        sample = Sample.of(found[kind])
        yield Row(
            name, f"checkout and return, {what}", f"{count} tenants", "us", sample,
            f"{sample.median / plain_one:.2f} x without",
        )  # fmt: skip


def _expiring(pools: Any) -> float:
    began = time.perf_counter()
    pools.expire()
    return 1e6 * (time.perf_counter() - began)


def _growth(town: Town, name: str, *, quick: bool) -> Iterator[Row]:
    """Checkout by number of open tenants: with connections, and in the books alone."""
    steps = (2, 5) if quick else (10, 50, MANY)
    rounds, batch = (3, 200) if quick else (20, 2000)
    with town.pools() as pools:
        acts = {}
        for count in steps:
            order = _order(count, batch)
            acts[str(count)] = lambda order=order: _use(pools, order)
        for act in acts.values():
            act()
        found = interleaved(_timed(acts, batch), rounds)
    least = Sample.of(found[str(steps[0])]).median
    for count in steps:
        sample = Sample.of(found[str(count)])
        ratio = sample.median / least
        last = count == steps[-1]
        yield Row(
            name, "checkout and return", f"{count} open tenants", "us", sample, f"{ratio:.2f} x that of {steps[0]}",
            "does not grow with tenants: <= 1.25 x" if last else "", ratio <= 1.25 if last else None,
        )  # fmt: skip
    books = (10, 1000) if quick else (10, 100, 1000, 10_000)
    ledgers = {count: (_Books(count), _order(count, batch)) for count in books}
    acts = {
        str(count): (lambda one=one, order=order: one.use(order))
        for count, (one, order) in ledgers.items()
    }
    found = interleaved(_timed(acts, batch), rounds)
    least = Sample.of(found[str(books[0])]).median
    for count in books:
        sample = Sample.of(found[str(count)])
        yield Row(
            name, "the books alone: lease and return", f"{count} open tenants", "us", sample,
            f"{sample.median / least:.2f} x that of {books[0]}",
        )  # fmt: skip


class _Books:
    """A ledger of open tenants whose connections are nothing at all."""

    def __init__(self, count: int) -> None:
        self.ledger: Ledger[object] = Ledger(TenantLimits())
        for tenant in names(count):
            grant = self.ledger.request(tenant, "here", 4, None, 0.0, None)
            self.ledger.give_back(self.ledger.opened(grant, object(), None, 0.0), 0.0)

    def use(self, order: list[str]) -> None:
        """Lease and give back, once for each."""
        for tenant in order:
            member = self.ledger.take(tenant, None, 0.0)
            self.ledger.give_back(member, 0.0)
