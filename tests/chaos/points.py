"""Every fault point of the source, and what passes it. A new point without a line here fails a test.

``<scenario>``, or ``<order>=kill <scenario> > <scenario>``: what died before it, and what then passes the point. The
cache is ``empty``, has the ``bare`` cluster, or is ``full``: the least that makes the scenario come by.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """How a point is reached."""

    scenario: str
    cache: str = "full"
    before: str = ""
    died_at: str = ""
    anew: bool = False

    @property
    def on_foreign_server(self):
        return self.scenario.startswith("foreign")


COLD = Way("use", "empty")
BUILD = Way("use", "bare")
USE = Way("use")
LEVELS = Way("levels")
WARM = Way("warm")
LOOPBACK = Way("loopback")
SUCCESSOR = Way("successor")
PROGRAMS = Way("programs")
ARCHIVE = Way("archive")
DAMAGED = Way("damaged", "bare")
RUN = Way("run_program")
FOREIGN = Way("foreign")
FOREIGN_NEW = Way("foreign_new", anew=True)

POINTS = {
    # Directories and files.
    "root.made": USE,
    "private.directory_made": USE,
    "private.draft_made": BUILD,
    "private.file_made": BUILD,
    "place.directory_made": USE,
    "place.sockets_made": USE,
    "place.released": BUILD,
    "place.removed": BUILD,
    "programs.draft_made": PROGRAMS,
    "programs.copied": PROGRAMS,
    "programs.published": PROGRAMS,
    "archive.unpacked": ARCHIVE,
    "archive.published": ARCHIVE,
    "private.draft_written": BUILD,
    # The keeper: its own files, its records, its servers.
    "keeper.spawned": USE,
    "keeper.lock_taken": USE,
    "keeper.socket_cleared": USE,
    "keeper.socket_bound": USE,
    "keeper.listening": USE,
    "keeper.leaving": USE,
    "keeper.socket_gone": USE,
    "keeper.log_gone": USE,
    "keeper.shelves_gone": USE,
    "keeper.lock_gone": USE,
    "early.shelf_made": USE,
    "early.claimed": USE,
    "claim.shelf_made": USE,
    "ledger.drafted": USE,
    "ledger.written": USE,
    "ledger.forgetting": USE,
    "start.recorded": USE,
    "start.unclaimed": USE,
    "start.launched": USE,
    "start.noted": USE,
    "launch.log_made": USE,
    "end.signalled": USE,
    "burial.dead": USE,
    "burial.path_gone": USE,
    "burial.done": USE,
    "remains.record_alone": USE,
    "remains.emptied": USE,
    "release.warm": WARM,
    "take.owned": WARM,
    "resume.claimed": SUCCESSOR,
    "adoption.watched": SUCCESSOR,
    # Images.
    "build.locked": BUILD,
    "cluster.directory_made": COLD,
    "cluster.program_runs": COLD,
    "cluster.initialised": COLD,
    "cluster.configured": COLD,
    "cluster.roles_made": COLD,
    "cluster.slimmed": COLD,
    "slim.file_gone": BUILD,
    "draft.packed": BUILD,
    "draft.whole": BUILD,
    "draft.published": BUILD,
    "discard.hidden": DAMAGED,
    "copy.target_made": USE,
    "unpack.directory_filled": USE,
    "copy.filled": USE,
    "image.place_made": COLD,
    "image.copied": BUILD,
    "image.started": BUILD,
    "image.templates_built": BUILD,
    "image.shut_down": BUILD,
    "image.layers_sealed": BUILD,
    "image.layers_dropped": BUILD,
    # Servers.
    "own.claimed": USE,
    "own.copied": USE,
    "postmaster.launched": USE,
    "postmaster.ready": USE,
    "loopback.opened": LOOPBACK,
    "socket.hidden": WARM,
    "socket.shown": WARM,
    "holding.hidden": WARM,
    "holding.unleased": USE,
    # Templates.
    "template.created": BUILD,
    "template.step_applied": BUILD,
    "template.settled": BUILD,
    "template.sealed": BUILD,
    "template.renamed": BUILD,
    "template.marked": BUILD,
    "template.open": LEVELS,
    "leftover.marked": Way("foreign", before="foreign", died_at="create.made"),
    "leftover.dropped": Way("foreign", before="foreign", died_at="create.made"),
    "unfinished.dropped": Way("foreign_changed", before="foreign", died_at="template.created"),
    # Databases.
    "create.announced": FOREIGN,
    "create.made": FOREIGN,
    "create.marked": FOREIGN,
    "create.struck_out": FOREIGN,
    "clone.announced": FOREIGN,
    "clone.made": FOREIGN,
    "clone.marked": FOREIGN,
    "drop.no_template": Way("changed"),
    "drop.shut": LEVELS,
    "drop.doomed": FOREIGN,
    "drop.done": FOREIGN,
    # Leases and what guards somebody else's server.
    "role.created": FOREIGN_NEW,
    "role.marked": FOREIGN_NEW,
    "role.granted": FOREIGN_NEW,
    "coordination.made": FOREIGN_NEW,
    "coordination.marked": FOREIGN_NEW,
    "intent.locked": FOREIGN,
    "intent.deleted": FOREIGN,
    "reclaim.marked": Way("foreign", before="foreign", died_at="clone.made"),
    # Not at every start: one that is over before the lease was needed does without.
    "lease.connected": LEVELS,
    "lease.held": LEVELS,
    "lease.taken": FOREIGN,
    "sweep.dropped": Way("foreign", before="foreign", died_at="clone.marked"),
    # Levels.
    "stock.made": LEVELS,
    "stock.dropped": LEVELS,
    "stock.moved": WARM,
    "replace.renamed": LEVELS,
    "readonly.cleared": LEVELS,
    "readonly.made": LEVELS,
    "keep.cleared": LEVELS,
    "keep.renamed": LEVELS,
    # Lists and commands.
    "kept.drafted": LEVELS,
    "kept.written": LEVELS,
    "run.child_ended": RUN,
}

FOUND_WANTING = {
    ("kill", "root.made"),
    ("kill", "programs.copied"),
    ("kill", "archive.unpacked"),
    ("kill", "private.draft_written"),
    ("kill", "ledger.drafted"),
    ("kill", "start.launched"),
    ("kill", "remains.record_alone"),
    ("full", "own.copied"),
    ("kill", "leftover.dropped"),
    ("kill", "reclaim.marked"),
}
"""What once left something or broke the next start: run with the fast tests, whatever chance says."""
