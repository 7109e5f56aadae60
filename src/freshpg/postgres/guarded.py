"""Acts on databases by name that are undone unless the name meant the database that was proven to be ours.

Between reading a mark and acting, anybody who may rename databases can put another one under the name. What can be
done in a transaction is therefore followed, in the same one, by the question which database it was done to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.errors import DatabaseGone, StatementFailed
from freshpg.postgres.quoting import literal
from freshpg.postgres.strangers import put_in_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freshpg.core.errors import FreshpgError
    from freshpg.postgres.admin import Admin

_DIVISION_BY_ZERO = "22012"


def carry_out(admin: Admin, name: str, statements: Sequence[str], after: Mapping[str, int]) -> None:
    """Run statements in one transaction and one round trip, all undone unless ``after`` then holds.

    Args:
        admin: The control connection.
        name: The database that this is about.
        statements: None of them may divide.
        after: Oids that databases of these names must have in the end.

    Raises:
        NotOurs: Another database was put under one of the names.
        DatabaseGone: ``name`` is not there any more.
        FreshpgError: A statement failed.
    """
    try:
        admin.execute("; ".join((*statements, _question(after))))
    except StatementFailed as error:
        if error.data.get("sqlstate") == _DIVISION_BY_ZERO:
            raise _exchanged(admin, name, after) from None
        raise


def _question(after: Mapping[str, int]) -> str:
    pairs = ", ".join(
        f"({literal(name)}::pg_catalog.name, {oid}::pg_catalog.oid)" for name, oid in after.items()
    )
    # One text is one transaction, and an error in it undoes what came before.
    return (
        f"SELECT 1 / (pg_catalog.count(*) / {len(after)}) FROM pg_catalog.pg_database d"
        f" WHERE (d.datname, d.oid) IN ({pairs})"
    )


def _exchanged(admin: Admin, name: str, after: Mapping[str, int]) -> FreshpgError:
    has: dict[int, str] = dict(
        admin.rows("SELECT oid::bigint, datname FROM pg_catalog.pg_database")
    )
    if name not in has.values():
        return DatabaseGone("a database was about to be changed", on=name)
    # All is undone, so what is ours should have the name again.
    missing = next((oid for oid in tuple(after.values())[::-1] if has.get(oid) != name), 0)
    return put_in_place(admin, name, missing)
