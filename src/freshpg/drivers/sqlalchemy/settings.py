"""How sessions of an engine differ from the server's own settings. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Timeouts in seconds, and how many connections a pool may have; None leaves it as it is.

    https://www.postgresql.org/docs/current/runtime-config-client.html
    """

    statement_timeout: float | None = None
    lock_timeout: float | None = None
    idle_timeout: float | None = None
    pool_size: int | None = None

    def statements(self) -> tuple[str, ...]:
        """Return what a new session is told."""
        told = {
            "statement_timeout": self.statement_timeout,
            "lock_timeout": self.lock_timeout,
            "idle_in_transaction_session_timeout": self.idle_timeout,
        }
        return tuple(
            f"SET {name} = {max(round(seconds * 1000), 1) if seconds else 0}"
            for name, seconds in told.items()
            if seconds is not None
        )


PLAIN = SessionSettings()
