"""What a server says of itself, in one question, and what that means."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.clock import SYSTEM_CLOCK, Clock
from freshpg.core.errors import FreshpgError
from freshpg.health import verdicts
from freshpg.health.checks import Check
from freshpg.leases import registry
from freshpg.postgres.databases import Databases
from freshpg.servers.cluster import SUPERUSER_ROLE, TEST_ROLE
from freshpg.templates.plan import plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.leases.lease import LeaseConnection
    from freshpg.postgres.admin import Admin
    from freshpg.templates.blueprint import Blueprint

# Connections kept back for superusers are nobody's whose tests connect as another role.
_FACTS = """
SELECT pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('server_version_num')::int / 10000,
       pg_catalog.current_setting('max_connections')::int
         - pg_catalog.current_setting('superuser_reserved_connections')::int,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
       extract(epoch FROM pg_catalog.clock_timestamp())::float8,
       ARRAY(SELECT name FROM pg_catalog.pg_available_extensions WHERE name = ANY(%s))
"""
_LOCKS = (
    "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND pid = %s"
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a project wants of its server.

    Attributes:
        blueprints: Whose templates are to be current.
        postgres: Major version, when one is wanted.
        build: The server's build, part of every fingerprint; its version when empty.
        remedy: What to do when a template is not current; empty where the next run builds it by itself.
    """

    blueprints: tuple[Blueprint, ...] = ()
    postgres: int | None = None
    build: str = ""
    remedy: str = "run again: a new template is built"

    @property
    def extensions(self) -> frozenset[str]:
        """Every extension that a blueprint asks for."""
        return frozenset(name for one in self.blueprints for name in one.extensions)


def on_server(admin: Admin, expected: Expected, clock: Clock = SYSTEM_CLOCK) -> Iterator[Check]:
    """Yield the checks that a control connection to the coordination database answers.

    Raises:
        FreshpgError: The server stopped answering.
    """
    before = clock.monotonic()
    shown, major, limit, used, there, available = admin.one(
        _FACTS, (sorted(expected.extensions),)
    ) or ("", 0, 0, 0, 0.0, ())
    after = clock.monotonic()
    milliseconds = (after - before) * 1000
    yield Check("server", "good", f"answers in {milliseconds:.1f} ms", milliseconds, "ms")
    yield verdicts.version(shown, major, expected.postgres)
    yield verdicts.templates(current_templates(admin, expected), remedy=expected.remedy)
    yield verdicts.connections(used, limit)
    # The server read its clock between the two moments; half way is the best guess.
    yield verdicts.clock(there - (clock.time() - (after - before) / 2))
    yield verdicts.extensions(expected.extensions, available)


def unreachable(error: FreshpgError) -> Check:
    """Return the check of a server that does not answer."""
    return Check(
        "server", "bad", f"{error.headline}: {error.seen}", remedy=next(iter(error.todo), "")
    )


def current_templates(admin: Admin, expected: Expected) -> dict[str, bool | str | None]:
    """Return for each blueprint whether its template is what its migrations come to now.

    None where there is no template yet; a text says why a blueprint cannot be read.
    """
    build = expected.build or str(admin.server_version)
    there: dict[str, set[str]] = {}
    for facts in Databases(admin).all_marked():
        # One that is open for a moment, to be read from, counts.
        if facts.mark and facts.mark.kind == "template":
            there.setdefault(facts.mark.blueprint, set()).add(facts.mark.fingerprint)
    found: dict[str, bool | str | None] = {}
    for blueprint in expected.blueprints:
        built = there.get(blueprint.name)
        try:
            wanted = {
                plan_of(blueprint, build=build, owner=owner).fingerprint
                for owner in _owners(blueprint, admin)
            }
        except FreshpgError as error:
            found[blueprint.name] = f"{error.headline}, {error.on}"
        else:
            found[blueprint.name] = bool(wanted & built) if built else None
    return found


def _owners(blueprint: Blueprint, admin: Admin) -> Iterable[str]:
    """Return who may own a template: on somebody else's server, the control role where no other could be made."""
    if blueprint.superuser:
        return (SUPERUSER_ROLE, admin.conninfo.user)
    return (TEST_ROLE, "freshpg_test", admin.conninfo.user)


def own_leases(admin: Admin, lease: LeaseConnection) -> Check:
    """Compare the leases of this process with the locks that the server knows of."""
    alive = lease.alive
    locked = int(admin.value(_LOCKS, (lease.backend,)) or 0) if alive else 0
    return verdicts.leases(len(lease.held), locked, alive=alive)


def all_leases(admin: Admin) -> Check:
    """Look whether those who hold leases, as far as they are on this machine, live."""
    holders = registry.holders(Databases(admin))
    here = socket.gethostname()
    notes = [one.note for one in holders if one.note is not None]
    dead = {f"process {one.pid}" for one in notes if one.host == here and not _lives(one.pid)}
    return verdicts.holders(dead, len(holders))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
