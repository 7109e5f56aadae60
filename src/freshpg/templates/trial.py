"""The trial of a new template, before anybody gets a clone of it: create, write, read, reset, as a test would.

Once a template: a later run that finds the mark knows that it passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.errors import (
    FreshpgError,
    LoginRefused,
    ServerDied,
    ServerUnreachable,
    TemplateUnusable,
)
from freshpg.postgres.admin import Admin

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.conninfo import Conninfo

_REFUSED = (LoginRefused, ServerDied, ServerUnreachable)
"""What a refused connection is taken for where libpq tells no SQLSTATE."""

_TOKEN = b"written by freshpg"

# A large object needs no schema, no right and no trigger of the user's. What ALTER DATABASE … SET says of transactions
# holds for tests, and not for this.
_BEGIN = "BEGIN READ WRITE"
_WRITE = "SELECT pg_catalog.lo_from_bytea(0, %s)"
_READ = "SELECT pg_catalog.lo_get(%s)"
_COUNT = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = %s"


def try_out(
    template: str, tests: Conninfo, *, clone: Callable[[], None], server_lives: Callable[[], bool]
) -> None:
    """Write to a first clone, read it in another session, and see that the next clone has none of it.

    Args:
        template: Its name, for a person.
        tests: How tests connect to the clone.
        clone: Puts a clone in the place of the one before, if any.
        server_lives: Whether the server is still there, as far as others know.

    Raises:
        TemplateUnusable: A test could not work with it; says what the server said.
        ServerError: The server failed.
    """
    try:
        clone()
        written = _write(tests)
        with Admin.connect(tests, application_name="freshpg trial") as session:
            _require(session.value(_READ, (written,)) == _TOKEN, "what was committed was not read")
        clone()
        with Admin.connect(tests, application_name="freshpg trial") as session:
            _require(session.value(_COUNT, (written,)) == 0, "what was reset was still there")
    except TemplateUnusable:
        raise
    except FreshpgError as error:
        of_connection = isinstance(error, _REFUSED) and server_lives()
        if error.origin == "infrastructure" and not of_connection:
            raise
        raise TemplateUnusable(
            "a new template was tried out: a clone was made, written to, read and reset",
            on=template,
            seen=error.seen or str(error),
            todo=(
                "see what a migration or seed did to roles, rights and settings of the database",
                "tests connect as the role that owns it: what that role may not do, no test can",
            ),
            sqlstate=error.data.get("sqlstate"),
        ) from error


def _write(tests: Conninfo) -> int:
    with Admin.connect(tests, application_name="freshpg trial") as session:
        session.execute(_BEGIN)
        written = int(session.value(_WRITE, (_TOKEN,)))
        session.execute("COMMIT")
    return written


def _require(condition: bool, seen: str) -> None:
    if not condition:
        raise TemplateUnusable(
            "a new template was tried out: a clone was made, written to, read and reset",
            seen=seen,
            todo=("see the server's log; run again",),
        )
