"""A server that this process may use now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.fresh import FreshClones
    from freshpg.postgres.database_facts import Intents
    from freshpg.provision.loopback import Loopback
    from freshpg.servers.postmaster import ServerHandle
    from freshpg.templates.builder import BuildSite


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Addresses and facts of one server.

    Attributes:
        provider: Where it came from: ``embedded``, ``system``, ``url``.
        version: For a person: ``18.6``.
        how: ``warm``, ``image``, ``initdb`` (its image had to be made first) or ``url``.
        why: Why this provider was taken.
        coordination: The control role on the coordination database.
        site: What the template builder has to know of it.
        handle: The process, when it is one of ours.
        templates: Fingerprints of the templates it was started with, by blueprint; none on somebody else's server.
        intents_for: Makes where intents are written, from a control connection, on somebody else's server.
        loopback: How tests connect where the server listens on 127.0.0.1 as well.
        fresh: Clones on a server of ours that nobody has used.
        query_bytes: Its ``track_activity_query_size``, where that is known without asking.
    """

    provider: str
    version: str
    how: str
    why: str
    coordination: Conninfo
    site: BuildSite
    handle: ServerHandle | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    intents_for: Callable[[Admin], Intents] | None = field(default=None, repr=False)
    loopback: Loopback | None = None
    fresh: FreshClones | None = None
    query_bytes: int | None = None

    @property
    def own(self) -> bool:
        """Whether it is a server of ours, used by this process alone."""
        return self.handle is not None

    @property
    def id(self) -> str:
        """The keeper's id for it; empty for somebody else's."""
        return self.handle.id if self.handle else ""

    def admin(self) -> Admin:
        """Open a control connection."""
        return Admin.connect(self.coordination)

    def databases(self) -> Databases:
        """Open a control connection for acts on databases; the caller closes its ``admin``."""
        admin = self.admin()
        intents = self.intents_for(admin) if self.intents_for else None
        return Databases(admin, intents=intents, own=self.own)

    def tests(self, *, superuser: bool) -> Conninfo:
        """Return how tests connect; ``dbname`` is still to be chosen."""
        chosen = (self.site.superuser_tests if superuser else None) or self.site.tests
        return self.loopback.address(chosen) if self.loopback else chosen
