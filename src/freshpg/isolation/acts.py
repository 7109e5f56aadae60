"""Exchanging and keeping databases by renaming them: two levels share these acts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freshpg.core.clock import Deadline
from freshpg.core.errors import DatabaseBusy, DatabaseGone, FreshpgError, StatementFailed
from freshpg.core.faults import faultpoint
from freshpg.isolation.audit.baseline import read_baseline
from freshpg.isolation.cloning import Cloner, require_of_source
from freshpg.isolation.repair.conflicts import is_conflict
from freshpg.postgres import sqlstate
from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.cloning import CloneSource
    from freshpg.isolation.stock import CloneStock
    from freshpg.postgres.databases import Databases

_LONGEST_TEXT = 2000
"""Characters of a test's name or of a reason that a kept database's mark may hold."""


def replace(databases: Databases, stock: CloneStock, name: str, *, deadline: float) -> Baseline:
    """Put a fresh clone in the place of ``name``; return when it was fresh. The old one goes in the background.

    The sessions of the old one are ended. Both renames are one transaction: a database of this name exists all the time.

    Raises:
        DatabaseBusy: Sessions keep coming back faster than they can be ended.
        NotOurs: The database does not carry our mark any more, or another one was put in its place.
        FreshpgError: What kept the stock from having a clone.
    """
    end = Deadline(deadline, stock.clock)
    found = databases.find_and_ask_if_held(name)
    facts, held = found or (None, False)
    if facts is not None:
        databases.require_ours(facts, stock.oid_of(name))
    if len(stock.slots) == 1:
        databases.drop(name, deadline=end.remaining, oid=stock.oid_of(name))
        made = Cloner(databases, stock.source).make(name)
        stock.note({name: made})
        return read_baseline(databases.admin, made)
    taken = stock.take(end.remaining, holder=f"the successor of {name}")
    spare = taken.name
    # The spare's slot lends its second name; it is free until this old database is dropped.
    aside = stock.slots[spare].used_name
    renames = [f"ALTER DATABASE {ident(spare)} RENAME TO {ident(name)}"]
    after = {name: taken.baseline.database}
    if facts is not None:
        after[aside] = facts.oid
        renames.insert(0, f"ALTER DATABASE {ident(name)} RENAME TO {ident(aside)}")
    try:
        try:
            _rename(databases, name, renames, after, end, held=held)
        except FreshpgError as error:
            if error.data.get("sqlstate") != sqlstate.DUPLICATE_DATABASE:
                raise
            # A test that may rename databases took one of ours there.
            _clear_away(databases, stock, aside, end)
            _rename(databases, name, renames, after, end, held=held)
    except FreshpgError:
        stock.give_back(spare)
        raise
    faultpoint("replace.renamed")
    stock.note(after)
    stock.give_back(spare, remains=(aside,) if facts else ())
    return taken.baseline


def keep(
    databases: Databases,
    source: CloneSource,
    name: str,
    failed_name: str,
    *,
    test: str,
    why: str,
    oid: int = 0,
) -> None:
    """Rename a database and mark it as kept, in one transaction; an older one of that name is dropped first.

    Raises:
        DatabaseGone: The test dropped it.
        NotOurs: One of the two is not ours.
    """
    facts = databases.find(name)
    if facts is None:
        raise DatabaseGone("a database was to be kept for inspection", on=name)
    databases.require_ours(facts, oid)
    databases.drop(failed_name)
    faultpoint("keep.cleared")
    now = datetime.fromtimestamp(databases.clock.time(), UTC).isoformat(timespec="seconds")
    about = {"test": _plain(test), "why": _plain(why), "kept": now}
    mark = source.mark("failed", databases.clock, about).tied_to(facts.oid, databases.admin.system)
    statements = [
        f"COMMENT ON DATABASE {ident(name)} IS {literal(mark.to_comment())}",
        f"ALTER DATABASE {ident(name)} RENAME TO {ident(failed_name)}",
    ]
    after = {failed_name: facts.oid}
    _rename(databases, name, statements, after, Deadline(10.0, databases.clock), held=True)
    faultpoint("keep.renamed")


def _rename(
    databases: Databases,
    name: str,
    statements: list[str],
    after: dict[str, int],
    end: Deadline,
    *,
    held: bool,
) -> None:
    """Run renames that nobody may be connected for; an application's pool may reconnect in between, so try again."""
    while True:
        if held:
            databases.clear_holders(name, deadline=max(1.0, end.remaining))
        try:
            databases.act(name, statements, after)
        except DatabaseBusy:
            if end.expired:
                raise
            held = True
        except StatementFailed as error:
            # Somebody else's change of the same catalog rows won.
            if end.expired or not is_conflict(error):
                raise
        else:
            return


def _clear_away(databases: Databases, stock: CloneStock, aside: str, end: Deadline) -> None:
    facts = databases.find(aside)
    if facts is not None:
        require_of_source(databases, stock.source, facts)
        databases.drop(aside, deadline=end.remaining, oid=facts.oid)


def _plain(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()[:_LONGEST_TEXT]
