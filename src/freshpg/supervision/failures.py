"""Whose failure is it: *ours*, *yours* (the code under test) or *infrastructure*. By SQLSTATE and context; pure.

A test that failed by itself is never run again, so whatever is in doubt is the test's own: that its connection was
cut, for one, while the server lived on. A test may end its own session, and tests of retry code cut connections on
purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError, LeaseLost, ServerDied, ServerUnreachable
from freshpg.postgres import sqlstate as states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.errors import Origin

_DEEPEST = 50
"""Links of a chain of exceptions that are followed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, told apart.

    Attributes:
        kind: Whose it is.
        code: ``FPG-…`` of an error of freshpg, ``SQL-…`` of the server's, ``PY-…`` of any other: stable, for logs.
        sqlstate: The first one in the chain of exceptions, if any.
        headline: One line for a person; the server's own words are not in it.
    """

    kind: Origin
    code: str
    sqlstate: str | None
    headline: str

    @property
    def is_infrastructure(self) -> bool:
        """Whether trying again may help."""
        return self.kind == "infrastructure"


def classify(error: BaseException, *, lost: FreshpgError | None = None) -> Failure:
    """Tell whose failure an exception is.

    Args:
        error: What was raised; its causes, contexts and members of groups are looked through.
        lost: What ``DatabaseManager.lost(database)`` says: the server or lease that was lost meanwhile. Whatever
            was raised then is its consequence.
    """
    chain = tuple(_chain(error))
    state = next((found for one in chain if (found := _state_of(one))), None)
    if lost is not None:
        return Failure("infrastructure", lost.code, state, lost.headline)
    for one in chain:
        if isinstance(one, FreshpgError):
            return Failure(one.origin, one.code, state, one.headline)
    if state is not None:
        kind = states.origin(state, server_lives=True)
        return Failure(kind, f"SQL-{state}", state, f"SQLSTATE {state}")
    name = type(error).__name__
    return Failure("yours", f"PY-{name}", None, name)


def ends_a_connection(error: BaseException) -> bool:
    """Whether an exception may be how the end of a server is first seen: a connection came to its end."""
    return any(_is_an_end(one) for one in _chain(error))


def _is_an_end(error: BaseException) -> bool:
    if isinstance(error, (ConnectionError, ServerDied, ServerUnreachable, LeaseLost)):
        return True
    state = _state_of(error)
    if state is not None:
        return state in states.SHUTDOWN or state.startswith("08")
    # Every driver calls it one of these (https://peps.python.org/pep-0249/#exceptions), and has no SQLSTATE to tell.
    return type(error).__name__ in {"OperationalError", "InterfaceError"}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it comes from, nearest first, each once."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        members = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        # SQLAlchemy has the driver's exception in ``orig``. What ``from None`` hid is hidden for a reason.
        context = None if one.__suppress_context__ else one.__context__
        causes = (getattr(one, "orig", None), one.__cause__, context, *members)
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]


def _state_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of any driver's exception: psycopg and asyncpg, then psycopg2."""
    if isinstance(error, FreshpgError):
        found = error.data.get("sqlstate")
    else:
        found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return found if isinstance(found, str) and len(found) == len("00000") else None
