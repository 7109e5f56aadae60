"""From figures to verdicts; nothing is asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.health.checks import Check

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

CONNECTIONS_WARN = 80.0
"""Per cent of the connections that a server has, from which on the next ones may be refused soon."""
CLOCK_WARN = 2.0
"""Seconds between two clocks from which on tests that compare times of both go wrong."""
ROOM_WARN = 64 << 20
ROOM_BAD = 16 << 20
"""Bytes: one segment of WAL as PostgreSQL makes it by default."""


def version(running: str, major: int, wanted: int | None) -> Check:
    """Whether the server is of the major version that the settings want."""
    if wanted is not None and major != wanted:
        return Check(
            "version",
            "bad",
            f"PostgreSQL {running}, and the settings want {wanted}",
            float(major),
            remedy=f"end it: freshpg down; or set postgres = {major}",
        )
    return Check("version", "good", f"PostgreSQL {running}", float(major))


def connections(used: int, limit: int) -> Check:
    """Whether the budget of connections will do."""
    share = 100.0 * used / limit if limit else 100.0
    text = f"{used} of {limit} connections in use ({share:.0f} %)"
    remedy = "close connections that tests leave open, use fewer workers, or raise max_connections"
    if used >= limit:
        return Check("connections", "bad", text, share, "%", remedy)
    if share >= CONNECTIONS_WARN:
        return Check("connections", "warning", text, share, "%", remedy)
    return Check("connections", "good", text, share, "%")


def clock(difference: float) -> Check:
    """Whether the server's clock is ours; positive when it is ahead."""
    text = f"the server's clock is {abs(difference) * 1000:.0f} ms {'ahead' if difference > 0 else 'behind'}"
    if abs(difference) > CLOCK_WARN:
        remedy = "synchronise the clocks of both machines (chrony, systemd-timesyncd)"
        return Check("clock", "warning", text, difference, "s", remedy)
    return Check("clock", "good", text, difference, "s")


def storage(name: str, free: int) -> Check:
    """Whether there is room in a place where data goes."""
    text = f"{free >> 20} MB free in {name}"
    remedy = f"free space in {name}; freshpg clean says what is not needed"
    if free < ROOM_BAD:
        return Check("storage", "bad", text, free, "bytes", remedy)
    if free < ROOM_WARN:
        return Check("storage", "warning", text, free, "bytes", remedy)
    return Check("storage", "good", text, free, "bytes")


def templates(current: Mapping[str, bool | str | None], *, remedy: str) -> Check:
    """Whether each blueprint's template is the one that its migrations come to now.

    Args:
        current: By blueprint; None where it has no template yet, a text says why it cannot be known.
        remedy: What to do about one that is not current; where there is nothing to do, it is no fault.
    """
    stale = [name for name, answer in current.items() if answer is False and remedy]
    unread = [f"{name}: {answer}" for name, answer in current.items() if isinstance(answer, str)]
    figure = float(sum(answer is True for answer in current.values()))
    if unread:
        return Check(
            "templates",
            "bad",
            "; ".join(unread),
            figure,
            remedy="mend the blueprint, then start again",
        )
    if stale:
        text = f"migrations, seeds or settings changed since it was built: {', '.join(stale)}"
        return Check("templates", "bad", text, figure, remedy=remedy)
    text = f"{figure:.0f} of {len(current)} current with their migrations"
    if figure < len(current):
        text += ", the others are built when they are first asked for"
    return Check("templates", "good", text, figure)


def leases(held: int, locked: int, *, alive: bool) -> Check:
    """Whether the server knows of every lease that we believe to hold."""
    remedy = "stop the manager and start it again; its databases may be somebody else's by now"
    if not alive:
        return Check(
            "leases", "bad", "the connection that holds the leases is gone", 0.0, "", remedy
        )
    if locked < held:
        text = f"{held} leases believed held, the server knows of {locked}"
        return Check("leases", "bad", text, float(locked), "", remedy)
    return Check("leases", "good", f"{held} held, as the server says", float(held))


def holders(dead: Collection[str], total: int) -> Check:
    """Whether everybody who holds a lease on a server lives."""
    if dead:
        return Check(
            "leases",
            "warning",
            f"{total} held, {len(dead)} by processes that are gone: {', '.join(sorted(dead))}",
            float(total),
            remedy="their connections end with keepalives; to end one now: pg_terminate_backend",
        )
    return Check("leases", "good", f"{total} held, all by processes that live", float(total))


def stale_objects(names: Collection[str]) -> Check:
    """Whether anything is there that belongs to nobody who lives."""
    count = float(len(names))
    if names:
        shown = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
        return Check(
            "stale objects",
            "warning",
            f"{len(names)} belong to nobody who lives: {shown}",
            count,
            remedy="freshpg doctor --leftovers names them, freshpg clean --yes removes what is provably ours",
        )
    return Check("stale objects", "good", "none", count)


def extensions(wanted: Collection[str], available: Collection[str]) -> Check:
    """Whether the server has the extensions that blueprints ask for."""
    absent = sorted(set(wanted) - set(available))
    if absent:
        return Check(
            "extensions",
            "bad",
            f"the server has not: {', '.join(absent)}",
            float(len(wanted) - len(absent)),
            remedy="install them where the server's programs are, or use another provider",
        )
    text = f"has all of: {', '.join(sorted(wanted))}" if wanted else "none are asked for"
    return Check("extensions", "good", text, float(len(wanted)))
