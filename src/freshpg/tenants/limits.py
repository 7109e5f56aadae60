"""What tenant pools may use, and what one tenant may have of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from freshpg.core.errors import TenantLimitsInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECONDS = frozenset({"wait", "idle", "lifetime", "connect"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """Bounds of one manager of tenant pools; ``None`` is no bound, or one derived from the server.

    Raises:
        TenantLimitsInvalid: A number is out of its range, or two contradict each other.
    """

    max_pools: int | None = None
    """Tenants with a connection open at the same time; unset, connections are the only bound."""
    max_per_tenant: int = 4
    """Connections of one tenant."""
    max_connections: int | None = None
    """Connections to one server, of the system pool and all tenants together; unset, what the server has for users.

    Making and dropping databases takes one more, of the role that may, for that time and a few seconds afterwards."""
    system_connections: int = 4
    """Connections kept for the system pool on its server: tenants never use them, and it never uses more."""
    max_waiting: int | None = 1000
    """Callers that wait at the same time, all tenants together; the next one is refused at once."""
    wait: float = 30.0
    """Seconds a caller waits for a connection, opening it included."""
    idle: float | None = 600.0
    """Seconds after which an unused connection is closed."""
    lifetime: float | None = 3600.0
    """Seconds after which a connection is not used again."""
    connect: float = 10.0
    """Seconds that opening one connection may take; libpq counts whole ones, and at least 2."""

    def __post_init__(self) -> None:
        problems = tuple(self._problems()) or tuple(self._contradictions())
        if problems:
            raise TenantLimitsInvalid(
                "limits of tenant pools were read",
                on=repr(self),
                seen="\n".join(problems),
                todo=("correct them where TenantLimits(…) is made",),
            )

    def _problems(self) -> Iterator[str]:
        for name, value in self.as_dict().items():
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                yield f"{name} is {value!r}, not a number"
            elif name in SECONDS:
                if not value >= 0:
                    yield f"{name} is {value!r}: seconds are not negative"
            elif not isinstance(value, int) or value < (0 if name == "max_waiting" else 1):
                yield f"{name} is {value!r}: it counts, from 1"

    def _contradictions(self) -> Iterator[str]:
        if self.max_connections is not None and self.max_connections <= self.system_connections:
            yield (
                f"max_connections is {self.max_connections}, and system_connections takes {self.system_connections} of"
                " them: none is left for tenants"
            )

    def as_dict(self) -> Mapping[str, float | None]:
        """Return every limit by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOverride:
    """What one tenant has of its own; ``None`` leaves it as for everybody."""

    url: str | Mapping[str, object] | None = None
    """Address of its database, as a URL or as keywords of libpq."""
    max_connections: int | None = None
    """Its connections, instead of ``TenantLimits.max_per_tenant``."""
    template: str | None = None
    """Database that ``ensure_database`` copies for it."""
