"""What to tell a test with isolation ``rollback`` that asked for more than a part of one transaction can do."""

from __future__ import annotations

from freshpg.core.errors import RollbackCannot

_OTHER_LEVELS = (
    "give this test isolation 'reset': @pytest.mark.pg(isolation=\"reset\")",
    "or 'clone', where it may also change or drop the database",
)


def cannot(
    failed: str, *, on: str, seen: str, todo: tuple[str, ...] = (), sqlstate: str | None = None
) -> RollbackCannot:
    """Return the error; other levels of isolation are what always helps."""
    facts = {} if sqlstate is None else {"sqlstate": sqlstate}
    return RollbackCannot(failed, on=on, seen=seen, todo=(*todo, *_OTHER_LEVELS), **facts)
