"""The way into a server of ours over 127.0.0.1: a port and one random password for the roles of tests."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freshpg.postgres.quoting import ident, literal
from freshpg.servers.cluster import SUPERUSER_ROLE, TEST_ROLE

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.postgres.admin import Admin

ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Loopback:
    """Port and password; the control role has no password, so it cannot come in here."""

    port: int
    password: str = field(repr=False)

    @classmethod
    def at(cls, port: int) -> Loopback:
        """Return a way in through ``port``, 0 for one that is free now, with a new password."""
        return cls(port or free_port(), secrets.token_urlsafe(18))

    def address(self, tests: Conninfo) -> Conninfo:
        """Return the address of ``tests`` over this way."""
        return tests.with_(host=ADDRESS, port=self.port, password=self.password)

    def open(self, admin: Admin) -> None:
        """Give the roles of tests the password, hashed here: the server never sees it.

        https://www.postgresql.org/docs/current/libpq-misc.html#LIBPQ-PQENCRYPTPASSWORDCONN
        """
        for role in (TEST_ROLE, SUPERUSER_ROLE):
            verifier = admin.connection.pgconn.encrypt_password(
                self.password.encode(), role.encode(), b"scram-sha-256"
            )
            admin.execute(f"ALTER ROLE {ident(role)} PASSWORD {literal(verifier.decode())}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now; somebody may, a moment later."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port
