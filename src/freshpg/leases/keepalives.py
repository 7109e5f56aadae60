"""How a session over TCP that holds leases notices that its other end is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo

_TCP_OPTIONS = {
    # A host that vanished is noticed after 30 + 3 x 10 s instead of the kernel's two hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # A frozen process still answers keepalives. Long enough for a debugger or a short suspend.
    "idle_session_timeout": "900s",
}
_TCP_CLIENT = (
    ("keepalives_idle", "30"),
    ("keepalives_interval", "10"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "60000"),
)


def with_keepalives(conninfo: Conninfo) -> Conninfo:
    """Return the address with what makes either side notice soon that the other one has vanished."""
    given = dict(conninfo.params)
    server_side = " ".join(f"-c {key}={value}" for key, value in _TCP_OPTIONS.items())
    options = f"{server_side} {given.get('options', '')}".strip()
    return conninfo.with_(
        params=tuple(sorted({**dict(_TCP_CLIENT), **given, "options": options}.items()))
    )
