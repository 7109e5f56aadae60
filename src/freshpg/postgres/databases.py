"""Acts on whole databases. Whatever removes or changes one asks for our mark first, on the live connection."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import (
    CreateDatabaseRefused,
    DatabaseBusy,
    DatabaseGone,
    FreshpgError,
    NotOurs,
)
from freshpg.core.faults import faultpoint
from freshpg.core.names import doomed_name
from freshpg.postgres import sqlstate
from freshpg.postgres.database_facts import DatabaseFacts, Intents, NoIntents, Session
from freshpg.postgres.dropping import insist, look_after
from freshpg.postgres.finding import Finder
from freshpg.postgres.grants import Extras, read_extras
from freshpg.postgres.guarded import carry_out
from freshpg.postgres.quoting import ident, literal
from freshpg.postgres.sessions import end_prepared_transactions, end_sessions, sessions_in
from freshpg.postgres.strangers import not_ours, put_in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from freshpg.core.clock import Clock
    from freshpg.postgres.admin import Admin
    from freshpg.postgres.mark import Mark

Strategy = Literal["file_copy", "wal_log"]

FIRST_OID = 16384
"""FirstNormalObjectId: smaller ones are PostgreSQL's own."""

INVALID = -2
"""``datconnlimit`` of a database whose DROP was interrupted: only a bare DROP still works on it."""

# initdb takes TEMPORARY away from everybody on these two, which is about them and not about what is made of them.
_INITDB = frozenset({"template0", "template1"})


class Databases(Finder):
    """The databases of one server, through one control connection.

    On a server of our ``own`` every database is ours, whatever became of its mark: a test may take the mark off, since
    it owns its database.
    """

    def __init__(
        self,
        admin: Admin,
        *,
        intents: Intents | None = None,
        own: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(admin)
        self.intents = intents or NoIntents()
        self.own = own
        self.clock = clock

    def create(
        self,
        name: str,
        mark: Mark,
        *,
        owner: str,
        template: str,
        strategy: Strategy = "file_copy",
        like: str | None = None,
    ) -> int:
        """Create a database and mark it; return its oid.

        ``template`` is copied; FILE_COPY is 1.8 to 3.3 times faster than WAL_LOG where fsync is off. Settings and
        grants of the database itself are not copied by PostgreSQL: they are taken from ``like`` (default: the template).

        Raises:
            NotOurs: A database of that name exists.
            CreateDatabaseRefused: The role may not create databases, or not for this owner.
            DatabaseBusy: Somebody is connected to the template.
        """
        if self.find(name):
            # Asked before the intent is written: an intent must never name a database somebody else made.
            raise self._exists(name)
        oid = _random_oid()
        with self._announced(name):
            faultpoint("create.announced")
            self._create(name, owner=owner, template=template, strategy=strategy, oid=oid)
        faultpoint("create.made")
        self.mark(name, mark, oid=oid)
        faultpoint("create.marked")
        self.intents.close(name)
        faultpoint("create.struck_out")
        if (like or template) not in _INITDB:
            self.copy_settings(like or template, name)
        return oid

    def clone(
        self,
        name: str,
        mark: Mark,
        *,
        owner: str,
        template: str,
        strategy: Strategy,
        extras: Extras,
        first: Callable[[int], str] | None = None,
    ) -> int:
        """Do what :meth:`create` does, in two round trips, under a name whose lease we hold; return the oid.

        The oid is chosen by us and written into the intent: whatever has this name and this oid was made here, even
        when its maker was killed before it could mark it. Where no intents are kept, ``first`` returns the name, for its
        oid, that it has until it gets its mark and its own.
        """
        oid = _random_oid()
        made = first(oid) if first else name
        with self._announced(name, oid):
            faultpoint("clone.announced")
            self._create(made, owner=owner, template=template, strategy=strategy, oid=oid)
        faultpoint("clone.made")
        comment = literal(mark.tied_to(oid, self.admin.system).to_comment())
        statements = [f"COMMENT ON DATABASE {ident(made)} IS {comment}", *extras.statements(made)]
        if made != name:
            statements.append(f"ALTER DATABASE {ident(made)} RENAME TO {ident(name)}")
        self.act(made, statements, {name: oid})
        faultpoint("clone.marked")
        self.intents.close(name)
        return oid

    @contextmanager
    def _announced(self, name: str, oid: int | None = None) -> Iterator[None]:
        self.intents.open(name, oid)
        try:
            yield
        except FreshpgError as error:
            # Somebody else made one of this name, or the server itself refused: nothing was made by us, and an intent must
            # not stand for what others made. A broken connection proves nothing.
            if isinstance(error, NotOurs) or error.data.get("sqlstate"):
                self.intents.close(name)
            raise

    def _create(
        self, name: str, *, owner: str, template: str, strategy: Strategy, oid: int | None = None
    ) -> None:
        try:
            self.admin.execute(
                f"CREATE DATABASE {ident(name)} OWNER {ident(owner)} TEMPLATE {ident(template)} STRATEGY {strategy}"
                + (f" OID {oid}" if oid else "")
            )
        except FreshpgError as error:
            state = error.data.get("sqlstate")
            if state == sqlstate.DUPLICATE_DATABASE:
                raise self._exists(name) from None
            if state == sqlstate.INSUFFICIENT_PRIVILEGE:
                raise CreateDatabaseRefused(
                    "a database was to be created",
                    on=name,
                    seen=error.seen,
                    todo=(
                        f"as a superuser of that server: ALTER ROLE {ident(self.admin.conninfo.user)} CREATEDB",
                        f"and, when the tests have a role of their own: GRANT {ident(owner)} TO {ident(self.admin.conninfo.user)}",
                    ),
                    sqlstate=state,
                ) from None
            if state == sqlstate.OBJECT_IN_USE:
                holders = "\n".join(str(session) for session in self.sessions(template))
                raise DatabaseBusy(
                    "a database was to be copied",
                    on=template,
                    seen=holders or error.seen,
                    todo=("end the sessions that are connected to it",),
                    sqlstate=state,
                ) from None
            raise

    def mark(self, name: str, mark: Mark, *, oid: int | None = None) -> int:
        """Put our mark on a database we just made, whose ``oid`` the caller may know; return its oid.

        Raises:
            DatabaseGone: There is none of this name.
            NotOurs: The name belongs to another database than the one with that oid.
        """
        if oid is None:
            oid = self.admin.value(
                "SELECT oid FROM pg_catalog.pg_database WHERE datname = %s", (name,)
            )
        if oid is None:
            raise DatabaseGone("a database was to be marked", on=name)
        comment = literal(mark.tied_to(int(oid), self.admin.system).to_comment())
        self.act(name, [f"COMMENT ON DATABASE {ident(name)} IS {comment}"], {name: int(oid)})
        return int(oid)

    def act(self, name: str, statements: Sequence[str], after: Mapping[str, int]) -> None:
        """Run statements about a database in one transaction, undone unless names then mean the databases they should.

        Nobody but we can rename databases of a server of our own, so there it is not asked.

        Args:
            name: The database.
            statements: SQL that a transaction may hold.
            after: The oid that each name must have in the end.

        Raises:
            NotOurs: Somebody put another database under one of the names.
            FreshpgError: A statement failed.
        """
        if self.own:
            self.admin.execute("; ".join(statements))
        else:
            carry_out(self.admin, name, statements, after)

    def drop(self, name: str, *, deadline: float = 10.0, oid: int = 0) -> bool:
        """Remove a database of ours with everything that holds it; ``False`` when there is none.

        Where its ``oid`` is known, no other one of that name is removed.

        Raises:
            NotOurs: It does not carry our mark, and the server is not our own; or it belongs to another role.
            DatabaseBusy: Sessions that we may not end still hold it at the deadline.
        """
        found = self.find_and_ask_if_held(name, own=self.own)
        if found is None:
            return False
        facts, held = found
        self.require_ours(facts, oid)
        try:
            self._drop(facts, Deadline(deadline, self.clock), held=held)
        except FreshpgError as error:
            if error.data.get("sqlstate") == sqlstate.INSUFFICIENT_PRIVILEGE:
                raise self._of_another_role(facts, error) from None
            raise
        return True

    def _drop(self, facts: DatabaseFacts, limit: Deadline, *, held: bool) -> None:
        if facts.connection_limit != INVALID:
            if facts.is_template:
                self._alter(facts, "IS_TEMPLATE false")
                faultpoint("drop.no_template")
            if held:
                self._shut(facts, limit)
                faultpoint("drop.shut")
            if not self.own:
                facts = replace(facts, name=self._doom(facts, limit))
                faultpoint("drop.doomed")
        statement = f"DROP DATABASE IF EXISTS {ident(facts.name)}"
        self._insist(facts, limit, lambda: self.admin.execute(statement))
        faultpoint("drop.done")
        look_after(self.admin, facts.name, facts.oid, own=self.own)

    def _insist(self, facts: DatabaseFacts, limit: Deadline, act: Callable[[], object]) -> None:
        insist(facts.name, act, limit=limit, shut=lambda: self._shut(facts, limit))

    def _doom(self, facts: DatabaseFacts, limit: Deadline) -> str:
        """Give a database the name under which it is dropped, and return it.

        DROP DATABASE cannot be undone, and takes whatever has the name by then. A rename can be, and nobody else gives a
        database this name. Whoever is killed in between leaves a database that a sweep knows by it.
        """
        doomed = doomed_name(facts.oid)
        if facts.name == doomed:
            return doomed
        rename = f"ALTER DATABASE {ident(facts.name)} RENAME TO {ident(doomed)}"
        self._insist(facts, limit, lambda: self.act(facts.name, [rename], {doomed: facts.oid}))
        return doomed

    def _of_another_role(self, facts: DatabaseFacts, error: FreshpgError) -> NotOurs:
        user = self.admin.conninfo.user
        return NotOurs(
            "a database was to be removed",
            on=facts.name,
            seen=f"{error.seen}: freshpg made it for role {facts.owner}, and now connects as {user}",
            todo=(
                "use one role for freshpg on one server",
                f"or, as a superuser of that server: GRANT {ident(facts.owner)} TO {ident(user)}",
                "or give the blueprint another name: [tool.freshpg.databases.<blueprint>] name = …",
            ),
            name=facts.name,
            sqlstate=error.data.get("sqlstate"),
        )

    def require_ours(self, facts: DatabaseFacts, oid: int = 0) -> None:
        """Make sure that a database is one of ours, and the one with that ``oid`` where it is known.

        Raises:
            NotOurs: It has no mark, or one of another database, on a server that is not our own; or it is another one.
        """
        if oid not in {0, facts.oid} and not self.own:
            raise put_in_place(self.admin, facts.name, oid)
        if facts.mark is None and not (self.own and facts.oid >= FIRST_OID):
            raise not_ours(self.admin, facts.name, "a database was to be changed or removed")

    def find_ours(self, name: str, oid: int = 0) -> DatabaseFacts:
        """Return what the server knows of a database of ours, the one with that ``oid`` where it is known.

        Raises:
            DatabaseGone: There is none of this name.
            NotOurs: It is not one of ours.
        """
        facts = self.find(name)
        if facts is None:
            raise DatabaseGone("a database of freshpg's was looked for", on=name)
        self.require_ours(facts, oid)
        return facts

    def rename(self, name: str, new_name: str) -> None:
        """Rename a database of ours; nobody may be connected to it. Raises as :meth:`find_ours` does."""
        rename = f"ALTER DATABASE {ident(name)} RENAME TO {ident(new_name)}"
        self.act(name, [rename], {new_name: self.find_ours(name).oid})

    def seal(self, name: str) -> None:
        """Let nobody connect any more, not even a superuser, and let it be cloned. Raises as :meth:`find_ours` does."""
        self._alter(self.find_ours(name), "ALLOW_CONNECTIONS false IS_TEMPLATE true")

    def unseal(self, name: str) -> None:
        """Let sessions in again. Raises as :meth:`find_ours` does."""
        self._alter(self.find_ours(name), "ALLOW_CONNECTIONS true IS_TEMPLATE false")

    def _alter(self, facts: DatabaseFacts, options: str) -> None:
        statement = f"ALTER DATABASE {ident(facts.name)} WITH {options}"
        self.act(facts.name, [statement], {facts.name: facts.oid})

    def copy_settings(self, source: str, target: str) -> None:
        """Repeat on ``target`` what ALTER DATABASE SET and GRANT … ON DATABASE did to ``source``.

        CREATE DATABASE copies neither: https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
        """
        self.admin.execute("; ".join(read_extras(self.admin, source).statements(target)))

    def sessions(self, name: str) -> list[Session]:
        """Return who is connected to ``name``, ourselves excluded."""
        facts = self.find(name)
        return sessions_in(self.admin, facts.oid) if facts else []

    def clear_holders(
        self, name: str, *, deadline: float = 10.0, in_the_making: bool = False
    ) -> list[Session]:
        """End every session of a database of ours, wait until they are gone, and return who they were.

        One that is ``in_the_making`` has a name by chance that is used once, and so is ours even if a step of the user's
        took the mark off.

        Waiting for the exit first matters: DROP and CREATE … TEMPLATE sleep 100 ms at a time while a backend that was
        told to end still shows (CountOtherDBBackends in PostgreSQL's procarray.c).

        Raises:
            NotOurs: It is not one of ours.
            DatabaseBusy: Some are left at the deadline.
        """
        facts = self.find(name)
        if facts is None:
            return []
        if not in_the_making:
            self.require_ours(facts)
        limit = Deadline(deadline, self.clock)
        seen = end_sessions(self.admin, facts, limit)
        if end_prepared_transactions(self.admin, facts):
            end_sessions(self.admin, facts, limit)
        return seen

    def _shut(self, facts: DatabaseFacts, limit: Deadline) -> None:
        """End everything that holds a database which is to go, and let nobody in again."""
        # A pool that reconnects would win against every DROP, so the door is closed first.
        end_sessions(self.admin, facts, limit)
        # Behind a closed door too: a sealed template may have one, or somebody was killed, or came in between, just here.
        end_prepared_transactions(
            self.admin, facts, let_in=lambda: self._alter(facts, "ALLOW_CONNECTIONS true")
        )
        self._alter(facts, "ALLOW_CONNECTIONS false")
        end_sessions(self.admin, facts, limit)

    def _exists(self, name: str) -> NotOurs:
        return not_ours(
            self.admin,
            name,
            "a database was to be created",
            why="a database of this name exists already, and freshpg did not make it for this purpose",
        )


def _random_oid() -> int:
    return FIRST_OID + secrets.randbelow(2**32 - FIRST_OID)
