"""The books stay right in every order of events: callers are stepped one at a time by a scheduler that hypothesis plays."""

import itertools

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from freshpg.tenants.books import SYSTEM
from freshpg.tenants.ledger import Closed, Ledger, QueueFull
from freshpg.tenants.limits import TenantLimits
from freshpg.tenants.parts import Grant, Waiter

SERVERS = {"a": "one:1", "b": "one:1", "c": "one:1", "d": "one:1", "e": "two:2", SYSTEM: "one:1"}
CAPACITY = {"one:1": 6, "two:2": 2}
PER_TENANT = 2
TENANT = st.sampled_from(list(SERVERS))
WHICH = st.integers(0, 1000)


class Caller:
    """One thread or task, between two steps."""

    numbers = itertools.count()

    def __init__(self, tenant):
        self.tenant = tenant
        self.number = next(Caller.numbers)
        self.grant = self.waiter = None

    def __repr__(self):
        return f"caller {self.number} of {self.tenant}"


class Books(RuleBasedStateMachine):
    """A model that knows only what every observer can see: who holds, who waits, what is open."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger(TenantLimits())
        self.now = 0.0
        self.numbers = itertools.count()
        self.sockets = {}
        self.held = {}
        self.queued = []
        self.opens = []
        self.doomed = set()
        self.servers = dict(SERVERS)

    @initialize(
        pools=st.sampled_from([None, 1, 2, 3]),
        queue=st.sampled_from([None, 0, 3]),
        system=st.integers(1, 2),
    )
    def begin(self, pools, queue, system):
        limits = TenantLimits(
            max_pools=pools,
            max_waiting=queue,
            max_per_tenant=PER_TENANT,
            system_connections=system,
            idle=50.0,
            lifetime=200.0,
        )
        self.ledger = Ledger(limits)
        for server, units in CAPACITY.items():
            self.ledger.set_capacity(server, units, system=server == "one:1")

    # One step of one caller

    @rule(tenant=TENANT, later=st.floats(0, 5, allow_nan=False))
    def ask(self, tenant, later):
        self.now += later
        caller = Caller(tenant)
        limit = self.ledger.limits.system_connections if tenant is SYSTEM else PER_TENANT
        try:
            got = self.ledger.request(tenant, self.servers[tenant], limit, caller, self.now, caller)
        except Closed:
            assert self.ledger.closed
        except QueueFull:
            assert len(self.queued) >= self.ledger.limits.max_waiting
        else:
            if isinstance(got, Waiter):
                caller.waiter = got
                self.queued.append(caller)
            else:
                self.granted(caller, got)

    @precondition(lambda self: self.opens)
    @rule(which=WHICH, works=st.integers(0, 3))
    def finish_opening(self, which, works):
        caller = self.opens.pop(which % len(self.opens))
        if not works:
            self.carry_out(self.ledger.open_failed(caller.grant, self.now))
            return
        socket = next(self.numbers)
        self.sockets[socket] = self.place(caller)
        self.held[caller] = self.ledger.opened(caller.grant, socket, caller, self.now)

    @precondition(lambda self: self.held)
    @rule(which=WHICH, keep=st.integers(0, 4))
    def give_back(self, which, keep):
        member = self.one_held(which)
        moved = member.pool in self.ledger.moved
        outcome = self.ledger.give_back(member, self.now, keep=keep > 0)
        if not keep or moved or member in self.doomed:
            assert member in outcome.close
        if outcome is not None:
            self.carry_out(outcome)
        else:
            assert not self.queued

    @precondition(lambda self: self.held)
    @rule(which=WHICH)
    def find_it_dead(self, which):
        """Checked out, and the server had closed it."""
        caller = list(self.held)[which % len(self.held)]
        member = self.held.pop(caller)
        caller.grant = self.ledger.replace(member, self.now)
        self.close([member])
        self.opens.append(caller)

    @precondition(lambda self: self.queued)
    @rule(which=WHICH)
    def reach_the_deadline(self, which):
        caller = self.queued.pop(which % len(self.queued))
        assert self.ledger.give_up(caller.waiter, self.now)
        assert not self.ledger.give_up(caller.waiter, self.now)

    # Events from elsewhere

    @rule(tenant=st.sampled_from([name for name in SERVERS if name]))
    def close_tenant(self, tenant):
        self.doomed |= {member for caller, member in self.held.items() if caller.tenant == tenant}
        self.carry_out(self.ledger.close_tenant(tenant, self.now))
        pool = self.ledger.pools.get(tenant)
        assert pool is None or not pool.idle

    @rule()
    def move_a_tenant(self):
        """To the other server, whatever it has on the first one at that moment."""
        self.servers["d"] = "two:2"

    @rule(later=st.floats(0, 80, allow_nan=False))
    def expire(self, later):
        self.now += later
        self.carry_out(self.ledger.expire(self.now))
        for pool in self.ledger.pools.values():
            assert all(self.now - member.idle_since < 50.0 for member in pool.idle)
            assert all(self.now < member.expires_at for member in pool.idle)

    @precondition(lambda self: not self.ledger.closed and self.now > 100)
    @rule()
    def close_all(self):
        self.carry_out(self.ledger.close(self.now))
        assert not self.queued

    # What is always so

    @invariant()
    def every_connection_is_known_once(self):
        known = {
            member.connection: (pool.tenant, pool.server.key)
            for pool in self.ledger.every()
            for member in (*pool.idle, *pool.leased)
        }
        assert known == {
            socket: place for socket, place in self.sockets.items() if socket not in self.stranded
        }
        assert not any(pool.idle for pool in self.ledger.moved)

    @invariant()
    def no_limit_is_exceeded(self):
        opening = [self.place(caller) for caller in self.opens]
        connected = [*self.sockets.values(), *opening]
        for tenant, server in set(connected):
            limit = self.ledger.limits.system_connections if tenant is SYSTEM else PER_TENANT
            assert connected.count((tenant, server)) <= limit
        for server, units in CAPACITY.items():
            there = [tenant for tenant, where in connected if where == server]
            assert len(there) <= units
            share = units - (self.ledger.limits.system_connections if server == "one:1" else 0)
            assert len([tenant for tenant in there if tenant is not SYSTEM]) <= share
        counted = [self.sockets[socket] for socket in self.sockets if socket not in self.stranded]
        tenants = {place for place in (*counted, *opening) if place[0] is not SYSTEM}
        assert self.ledger.open_pools == len(tenants)
        if self.ledger.limits.max_pools is not None:
            assert len(tenants) <= self.ledger.limits.max_pools

    @invariant()
    def the_counts_are_right(self):
        assert self.ledger.waiting == len(self.queued)
        assert self.ledger.out == len(self.held) + len(self.opens)
        for server in self.ledger.servers.values():
            pools = [pool for pool in self.ledger.every() if pool.budget is server.budget]
            assert server.budget.used == sum(pool.size for pool in pools)
            assert server.budget.idle == sum(len(pool.idle) for pool in pools)

    @invariant()
    def nobody_waits_for_what_is_free(self):
        for caller in self.queued:
            self.assert_nothing_could_be_had(caller)

    def teardown(self):
        """Whatever happened, all is given back in the end, and nobody is left."""
        self.carry_out(self.ledger.close(self.now))
        while self.opens:
            self.carry_out(self.ledger.open_failed(self.opens.pop().grant, self.now))
        while self.held:
            self.carry_out(self.ledger.give_back(self.one_held(0), self.now))
        assert not self.sockets
        assert not self.queued
        assert not self.ledger.moved
        assert self.ledger.out == self.ledger.waiting == self.ledger.open_pools == 0
        totals = self.ledger.retired
        assert totals.opened - totals.closed == 0 or SYSTEM in self.ledger.pools

    # What an engine does

    def granted(self, caller, grant):
        assert isinstance(grant, Grant)
        caller.grant = grant
        assert all(not member.pool.leased or member.pool.tenant for member in grant.victims)
        self.close(grant.victims)
        grant.victims.clear()
        if grant.member is None:
            self.opens.append(caller)
        else:
            self.held[caller] = grant.member

    @staticmethod
    def place(caller):
        """Whose connection it is, and where."""
        return caller.tenant, caller.grant.pool.server.key

    @property
    def stranded(self):
        """What rested on a server that its tenant left, and is closed with the next answer."""
        return {member.connection for member in self.ledger._stranded}

    def one_held(self, which):
        return self.held.pop(list(self.held)[which % len(self.held)])

    def close(self, members):
        for member in members:
            assert member not in self.held.values()
            del self.sockets[member.connection]

    def carry_out(self, outcome):
        self.close(outcome.close)
        for waiter in outcome.wake:
            caller = waiter.token
            self.queued.remove(caller)
            assert waiter.done
            if waiter.grant is None:
                assert self.ledger.closed
            else:
                self.granted(caller, waiter.grant)

    def assert_nothing_could_be_had(self, caller):
        pools = self.ledger.pools
        pool = caller.waiter.pool
        assert not pool.idle
        if pool.size >= pool.limit:
            return
        resting = [
            other
            for other in pools.values()
            if other.idle and not other.leased and not other.opening and other.tenant is not SYSTEM
        ]
        most = self.ledger.limits.max_pools
        if most is not None and not pool.is_open and self.ledger.open_pools >= most:
            assert not resting
        else:
            assert pool.budget.full
            assert not pool.budget.idle


Books.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    # Explaining a failure traces every line, which takes longer than a test may.
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
TestEveryOrderOfEvents = Books.TestCase
