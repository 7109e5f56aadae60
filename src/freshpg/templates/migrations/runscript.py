"""Carry out an SQL script on a server: what is sent, what is passed over, what a failure says."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

from freshpg.core.errors import FreshpgError, MigrationFailed
from freshpg.postgres.quoting import literal
from freshpg.templates.migrations.diagnosis import shorten, timed_out
from freshpg.templates.migrations.dumps import DumpRules, created_extension, is_dump
from freshpg.templates.migrations.extensions import extension_missing
from freshpg.templates.migrations.failure import judge
from freshpg.templates.migrations.session import DeadlinePassed, Refusal, ScriptSession
from freshpg.templates.migrations.sqlscript import CopyIn, Statement, read_script

if TYPE_CHECKING:
    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target

_NOT_SUPPORTED = "0A000"
_EXTENSION_NOT_AVAILABLE = frozenset({_NOT_SUPPORTED, "58P01"})
_INSUFFICIENT_PRIVILEGE = "42501"
_HEAD = 8192


def run_script(stream: BinaryIO, name: str, target: Target, deadline: Deadline) -> None:
    """Send a script statement by statement on a new connection; stop at the first failure.

    Raises:
        MigrationFailed: A statement was refused, or the script ends inside a transaction.
        MigrationTimedOut: The deadline came.
        ExtensionMissing: The server does not have an extension the script creates.
        MigrationUnreadable: The file cannot be read as a script.
        MetaCommandRefused: It holds a psql command that does something.
    """
    dump = is_dump(stream.read(_HEAD))
    stream.seek(0)
    session = ScriptSession.open(target.conninfo, deadline, name=f"freshpg {PurePath(name).name}")
    with session:
        _Run(name, target, deadline, session, DumpRules(session) if dump else None).all(stream)


class _Run:
    """One script on one session."""

    def __init__(
        self,
        name: str,
        target: Target,
        deadline: Deadline,
        session: ScriptSession,
        dump: DumpRules | None,
    ) -> None:
        self.name = name
        self.target = target
        self.deadline = deadline
        self.session = session
        self.dump = dump

    def all(self, stream: BinaryIO) -> None:
        transaction_started = 0
        pieces = read_script(
            stream, self.name, standard_strings=lambda: self.session.standard_strings
        )
        for piece in pieces:
            self._one(piece)
            if not self.session.in_transaction:
                transaction_started = 0
            elif not transaction_started:
                transaction_started = piece.line
        if transaction_started:
            raise self._unfinished(transaction_started)
        if self.dump:
            self.target.notes.extend(f"{self.name}: {note}" for note in self.dump.notes())

    def _one(self, piece: Statement) -> None:
        try:
            if self._passed_over(piece):
                return
            self.session.run(piece.text, piece.data if isinstance(piece, CopyIn) else ())
        except DeadlinePassed:
            raise self._timed_out(piece) from None
        except KeyboardInterrupt:
            # Closing a connection does not end the statement that runs on it.
            self.session.cancel()
            raise
        except Refusal as refusal:
            if (
                self.dump
                and not self.session.in_transaction
                and self.dump.forgives(piece.text, refusal)
            ):
                return
            raise self._failure(piece, refusal) from None

    def _passed_over(self, piece: Statement) -> bool:
        if self.dump and self.dump.passes_over(piece.text):
            return True
        extension = created_extension(piece.text)
        if not extension:
            return False
        # The test role may not create most extensions; the admin made those of the setting before.
        known = self.session.value(
            f"SELECT 1 FROM pg_catalog.pg_extension WHERE extname = {literal(extension)}"
        )
        if known:
            self.target.notes.append(
                f"{self.name}:{piece.line}: CREATE EXTENSION {extension} passed over, it exists already"
            )
        return bool(known)

    def _failure(self, piece: Statement, refusal: Refusal) -> FreshpgError:
        line = _line(piece, refusal)
        on = f"{self.name}:{line}"
        extension = created_extension(piece.text)
        if extension and refusal.sqlstate in _EXTENSION_NOT_AVAILABLE:
            version = (
                int(self.session.value("SHOW server_version_num") or 0)
                if not self.session.in_transaction
                else 0
            )
            return extension_missing(extension, seen=refusal.words(), on=on, server_version=version)
        kind, todo = judge(refusal.sqlstate, *_remedies(refusal, extension))
        return kind(
            f"{self.name} stopped at line {line}",
            on=on,
            seen=f"{refusal.words()}\n{_excerpt(piece, refusal)}",
            todo=todo,
            file=self.name,
            line=line,
            statement=shorten(piece.text),
            sqlstate=refusal.sqlstate,
            message=refusal.message,
            detail=refusal.detail,
            hint=refusal.hint,
        )

    def _timed_out(self, piece: Statement) -> FreshpgError:
        statement = shorten(piece.text)
        error = timed_out(
            self.name,
            self.target,
            self.deadline.elapsed,
            on=f"{self.name}:{piece.line}",
            also=f"statement: {statement}",
            file=self.name,
            line=piece.line,
            statement=statement,
        )
        self.session.cancel()
        return error

    def _unfinished(self, line: int) -> MigrationFailed:
        return MigrationFailed(
            f"{self.name} ends inside the transaction that starts in line {line}",
            on=f"{self.name}:{line}",
            seen="no COMMIT follows: psql would roll everything back without a word",
            todo=("add COMMIT; at the end of the file", "or remove the BEGIN"),
            file=self.name,
            line=line,
        )


def _line(piece: Statement, refusal: Refusal) -> int:
    if isinstance(piece, CopyIn) and refusal.copy_line:
        return piece.data_line + refusal.copy_line - 1
    return piece.line + piece.text.count("\n", 0, max(0, refusal.position - 1))


def _excerpt(piece: Statement, refusal: Refusal, width: int = 100) -> str:
    """Return the statement, or its line with a mark below the character the server points at."""
    if not refusal.position:
        return f"statement: {shorten(piece.text)}"
    at = refusal.position - 1
    start = piece.text.rfind("\n", 0, at) + 1
    line = piece.text[start:].split("\n", 1)[0].rstrip()
    cut = max(0, at - start - width // 2)
    shown = line[cut : cut + width].replace("\t", " ")
    statement = shorten(piece.text)
    head = "" if statement == shown else f"statement: {statement}\n"
    return f"{head}  {shown}\n  {' ' * (at - start - cut)}^"


def _remedies(refusal: Refusal, extension: str) -> tuple[str, ...]:
    after = "correct the file; nothing was left behind, the next run starts clean"
    if extension and refusal.sqlstate == _INSUFFICIENT_PRIVILEGE:
        return (
            f'let the admin create it: extensions = ["{extension}"] in [tool.freshpg.databases.<blueprint>]',
            "or run everything as superuser: superuser = true",
        )
    if refusal.sqlstate == _INSUFFICIENT_PRIVILEGE:
        return (
            "the test role owns its database and is no superuser; leave the statement out",
            "or let the suite run as superuser: superuser = true in [tool.freshpg.databases.<blueprint>]",
        )
    if refusal.sqlstate == _NOT_SUPPORTED and "build" in refusal.message + refusal.detail:
        return (
            'use a PostgreSQL built with it: server = "system"; the wheel of server = "embedded" has no ICU and no XML',
            after,
        )
    if refusal.sqlstate == "42704" and refusal.message.startswith("role "):
        return ("write the dump without roles: pg_dump --no-owner --no-privileges", after)
    return (after,)
