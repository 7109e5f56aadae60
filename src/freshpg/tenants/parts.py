"""What the ledger's books are made of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

C = TypeVar("C")

NEVER = float("-inf")
ALWAYS = float("inf")
MOVED = float("nan")
"""Generation of a pool whose connections are not kept: equal to none, not even to itself."""
NOBODYS = -1
"""Generation of connections that are not kept, whatever becomes of their pool."""


@dataclass(slots=True)
class Counters:
    """What happened in a pool so far; times in seconds."""

    checkouts: int = 0
    """Leases begun."""
    waits: int = 0
    """Callers that had to wait and were served."""
    timeouts: int = 0
    """Callers that waited and left with nothing."""
    opened: int = 0
    """Connections opened."""
    closed: int = 0
    """Connections closed, for whatever reason."""
    failed: int = 0
    """Connections that could not be opened."""
    stale: int = 0
    """Connections found dead when they were to be leased."""
    expired: int = 0
    """Connections closed because they had rested or lived for long enough."""
    evicted: int = 0
    """Times the pool was closed to make room for another tenant's."""
    wait_seconds: float = 0.0
    open_seconds: float = 0.0
    use_seconds: float = 0.0

    def add(self, other: Counters) -> None:
        """Count what another one counted, too."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Budget:
    """Units of one server that tenants share, or that the system pool has to itself; without a ``limit``, any number."""

    __slots__ = ("idle", "limit", "used")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0
        self.idle = 0

    @property
    def full(self) -> bool:
        """Whether no unit is left."""
        return self.limit is not None and self.used >= self.limit


class Server:
    """One server, by host and port."""

    __slots__ = ("budget", "capacity", "key", "suspected_at")

    def __init__(self, key: str, limit: int | None) -> None:
        self.key = key
        self.budget = Budget(limit)
        self.capacity: int | None = None
        self.suspected_at = NEVER


class Member(Generic[C]):
    """One open connection, with the lease it is under, if any."""

    __slots__ = (
        "connection",
        "expires_at",
        "generation",
        "idle_since",
        "owner",
        "pool",
        "reported",
        "since",
        "site",
        "where",
    )

    def __init__(self, connection: C, pool: Pool[C], generation: float) -> None:
        self.connection = connection
        self.pool = pool
        self.generation = generation
        self.expires_at = ALWAYS
        self.idle_since = NEVER
        self.owner: Any = None
        """Thread or task that leases it."""
        self.since = NEVER
        """When the lease began."""
        self.site: Any = None
        """The place that leases it, or did last."""
        self.where: Any = None
        """The stack of whoever leases it, or did last, where that is recorded."""
        self.reported = False


class Pool(Generic[C]):
    """The connections and callers of one tenant; ``tenant`` is ``None`` for the system pool."""

    __slots__ = (
        "budget",
        "counters",
        "generation",
        "idle",
        "is_open",
        "leased",
        "limit",
        "opening",
        "server",
        "tenant",
        "ticket",
        "waiting",
    )

    def __init__(self, tenant: str | None, server: Server, budget: Budget, limit: int) -> None:
        self.tenant = tenant
        self.server = server
        self.budget = budget
        self.limit = limit
        self.idle: deque[Member[C]] = deque()
        """Resting connections; the one used last is taken first."""
        self.leased: set[Member[C]] = set()
        self.opening = 0
        self.waiting: deque[Waiter[C]] = deque()
        self.ticket = 0
        """Its turn among the tenants whose callers wait; the lowest is next."""
        self.generation: float = 0
        self.is_open = False
        self.counters = Counters()

    @property
    def out(self) -> int:
        """Connections in use or being opened."""
        return len(self.leased) + self.opening

    @property
    def size(self) -> int:
        """Connections, those about to be opened included."""
        return len(self.idle) + len(self.leased) + self.opening


@dataclass(slots=True, eq=False)
class Grant(Generic[C]):
    """What a caller got: a leased ``member``, or, without one, the right to open a connection after closing ``victims``."""

    pool: Pool[C]
    member: Member[C] | None = None
    victims: list[Member[C]] = field(default_factory=list)
    generation: float = 0


@dataclass(slots=True, eq=False)
class Waiter(Generic[C]):
    """A caller in the queue. When ``done``, ``grant`` is what it got; ``None`` then means that the ledger was closed."""

    pool: Pool[C]
    owner: Any
    since: float
    token: Any
    """How the engine wakes the caller."""
    done: bool = False
    grant: Grant[C] | None = None


@dataclass(slots=True, eq=False)
class Outcome(Generic[C]):
    """What an engine does after a call, outside its lock: close these connections, then wake these callers."""

    close: list[Member[C]] = field(default_factory=list)
    wake: list[Waiter[C]] = field(default_factory=list)
