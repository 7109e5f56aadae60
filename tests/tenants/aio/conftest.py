"""A server with a system database and workspaces, and pools that must have given everything back in the end."""

import asyncio
import contextlib
import itertools
from dataclasses import dataclass

import pytest
import pytest_asyncio

from freshpg.core.clock import Deadline
from freshpg.core.conninfo import Conninfo
from freshpg.postgres.admin import Admin
from freshpg.tenants import AsyncTenantPools, TenantLimits

PATIENCE = 10.0
TENANTS = ("acme", "globex", "initech", "umbrella")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """The server behind the tests, seen by its superuser."""

    conninfo: Conninfo

    @property
    def tenants(self):
        return f"host={self.conninfo.host} user=app dbname=wa_{{tenant}}"

    @property
    def system(self):
        return f"host={self.conninfo.host} user=app dbname=wapp"

    def admin(self, dbname="postgres"):
        return Admin.connect(self.conninfo.with_(dbname=dbname))

    @staticmethod
    def workspace(tenant):
        """The statement that makes a tenant's database."""
        return f'CREATE DATABASE "wa_{tenant}" OWNER app TEMPLATE wa_template STRATEGY file_copy'

    def run(self, *statements):
        with self.admin() as admin:
            for statement in statements:
                admin.execute(statement)

    def sessions(self, pools):
        """Database and pid of every session of these pools, as the server sees them."""
        with self.admin() as admin:
            return admin.rows(
                "SELECT datname, pid FROM pg_stat_activity WHERE application_name = %s"
                " ORDER BY datname, pid",
                (pools.application_name,),
            )

    def settled(self, pools, count):
        """The sessions once there are ``count``: a backend takes a moment to end."""
        limit = Deadline(PATIENCE)
        while len(found := self.sessions(pools)) != count:
            assert not limit.expired, found
        return found

    def is_asleep(self, pid):
        """Whether a statement of that session runs pg_sleep: before, a cancellation would come too early."""
        with self.admin() as admin:
            return admin.value(
                "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s", (pid,)
            )

    def end(self, *pids):
        with self.admin() as admin:
            for pid in pids:
                assert admin.value("SELECT pg_terminate_backend(%s, 10000)", (pid,))


@pytest.fixture(scope="session")
def world(server):
    world = World(server)
    world.run(
        "CREATE ROLE app LOGIN CREATEDB PASSWORD 'first'",
        "CREATE DATABASE wapp OWNER app",
        "CREATE DATABASE wa_template OWNER app IS_TEMPLATE true",
    )
    with world.admin("wa_template") as admin:
        admin.execute("CREATE TABLE note (id bigserial PRIMARY KEY, body text NOT NULL)")
        admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
        admin.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app")
    world.run(*(world.workspace(tenant) for tenant in TENANTS))
    return world


@pytest.fixture
def added(world):
    """Databases that a test adds are gone afterwards."""
    with world.admin() as admin:
        before = {name for (name,) in admin.rows("SELECT datname FROM pg_database")}
    yield
    with world.admin() as admin:
        names = {name for (name,) in admin.rows("SELECT datname FROM pg_database")} - before
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            admin.execute(f"DROP DATABASE {quoted} WITH (FORCE)")


@pytest_asyncio.fixture
async def make(world):
    """Make pools on that server; in the end they are closed, and the server has nobody of them left."""
    made = []

    def make_pools(*, tenants=world.tenants, system=world.system, **options):
        limits = options.pop("limits", {})
        name = f"aio-{next(_numbers)}"
        pools = AsyncTenantPools(
            tenants,
            system=system,
            limits=TenantLimits(**{"wait": PATIENCE, **limits}),
            application_name=name,
            admin=options.pop("admin", world.conninfo.keywords()),
            template=options.pop("template", "wa_template"),
            **options,
        )
        pools.application_name = name
        made.append(pools)
        return pools

    yield make_pools
    for pools in made:
        await pools.close(PATIENCE)
        world.settled(pools, 0)
        stats = pools.stats()
        assert (stats.connections, stats.waiting, stats.open_pools) == (0, 0, 0)


@pytest.fixture
def pools(make):
    return make()


class Holder:
    """A task that holds a connection until it is told to let go."""

    def __init__(self, pools, tenant):
        self.got = asyncio.Event()
        self._let_go = asyncio.Event()
        self.pid = 0
        self.task = asyncio.create_task(self._hold(pools, tenant), name=f"holder of {tenant}")

    async def _hold(self, pools, tenant):
        checkout = pools.system() if tenant is None else pools.tenant(tenant)
        async with checkout as connection:
            self.pid = connection.info.backend_pid
            self.got.set()
            await self._let_go.wait()

    async def end(self):
        self._let_go.set()
        await self.task


@pytest_asyncio.fixture
async def hold():
    """Hold a connection of a tenant in a task of its own."""
    holders = []

    async def hold_one(pools, tenant, *, wait=True):
        holder = Holder(pools, tenant)
        holders.append(holder)
        if wait:
            await asyncio.wait_for(holder.got.wait(), PATIENCE)
        return holder

    yield hold_one
    for holder in holders:
        holder._let_go.set()
        with contextlib.suppress(BaseException):
            await holder.task


@pytest.fixture
def until():
    """Give other tasks their turn until something is true."""

    async def until_true(condition):
        limit = Deadline(PATIENCE)
        while not condition():
            assert not limit.expired
            await asyncio.sleep(0)

    return until_true
