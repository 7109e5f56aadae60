"""Errors of the databases that tests get: how they are built, leased, shared, filled, cleaned and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from freshpg.core.errors.base import FreshpgError

if TYPE_CHECKING:
    from freshpg.core.errors.base import Origin


class TemplateError(FreshpgError):
    """A template could not be built."""

    code, title = "FPG-T00", "a template could not be built"
    origin: ClassVar[Origin] = "yours"


class MigrationFailed(TemplateError):
    """A migration or seed step failed."""

    code, title = "FPG-T01", "a migration failed"


class MigrationTimedOut(TemplateError):
    """A migration or seed step did not end before its deadline and was ended."""

    code, title = "FPG-T02", "a migration did not end in time"


class MigrationMissing(TemplateError):
    """A migration names a file, module or tool that does not exist."""

    code, title = "FPG-T03", "a migration cannot be found"


class MigrationUnreadable(TemplateError):
    """A migration file exists but cannot be read as what it should be."""

    code, title = "FPG-T04", "a migration cannot be read"


class MetaCommandRefused(TemplateError):
    """A psql meta-command that is not display-only stands in an SQL file."""

    code, title = "FPG-T05", "a psql command in an SQL file is not supported"


class ExtensionMissing(TemplateError):
    """An extension is not available on this server."""

    code, title = "FPG-T06", "an extension is missing"


class TemplateBusy(TemplateError):
    """Somebody else is building, or is connected to, a template for too long."""

    code, title = "FPG-T07", "a template is in use"
    origin: ClassVar[Origin] = "infrastructure"


class TemplateUnusable(TemplateError):
    """A new template was built, but a test could not write to a clone of it, read it, or have it reset."""

    code, title = "FPG-T08", "a new template failed its trial"


class LeaseError(FreshpgError):
    """A lease could not be had or kept."""

    code, title = "FPG-L00", "a lease failed"


class NoFreeSlot(LeaseError):
    """Every slot of a blueprint is held."""

    code, title = "FPG-L01", "no free slot"
    origin: ClassVar[Origin] = "infrastructure"


class LeaseLost(LeaseError):
    """The connection that held a lease broke."""

    code, title = "FPG-L02", "a lease was lost"
    origin: ClassVar[Origin] = "infrastructure"


class LeaseClosed(LeaseError):
    """A database was used after it had been given back."""

    code, title = "FPG-L03", "a database was used after it was given back"
    origin: ClassVar[Origin] = "yours"


class DatabaseError(FreshpgError):
    """A database could not be made, cleaned or removed."""

    code, title = "FPG-D00", "a database failed"


class NotOurs(DatabaseError):
    """A destructive act was refused because the database does not carry our mark."""

    code, title = "FPG-D01", "a database is not ours to touch"
    origin: ClassVar[Origin] = "yours"


class DatabaseBusy(DatabaseError):
    """Sessions hold a database that must be cleaned or removed."""

    code, title = "FPG-D02", "a database is still in use"
    origin: ClassVar[Origin] = "yours"


class DatabaseGone(DatabaseError):
    """A database that should exist does not."""

    code, title = "FPG-D03", "a database is gone"


class WaitTimedOut(DatabaseError):
    """A wait reached its deadline."""

    code, title = "FPG-D04", "a wait reached its deadline"
    origin: ClassVar[Origin] = "infrastructure"


class TestUntidy(DatabaseError):
    """A test ended in the middle of something: an open transaction, a lock, a running query."""

    __test__: ClassVar = False  # pytest collects what is called Test…
    code, title = "FPG-D05", "a test left something open"
    origin: ClassVar[Origin] = "yours"


class NotProven(DatabaseError):
    """The deep comparison found a difference in a database that was made equal to its template."""

    code, title = "FPG-D06", "a database differs from its template"
    origin: ClassVar[Origin] = "ours"


class LeftBehind(DatabaseError):
    """Something was left behind that was not there before; ``things`` has what, each with kind, name and detail."""

    code, title = "FPG-D07", "something was left behind"
    origin: ClassVar[Origin] = "yours"


class RollbackError(FreshpgError):
    """The one connection of a test with isolation ``rollback`` could not do what was asked."""

    code, title = "FPG-B00", "the connection of a rollback test failed"
    origin: ClassVar[Origin] = "yours"


class RollbackCannot(RollbackError):
    """Something needs more than a part of one transaction: two-phase commit, VACUUM, another isolation level."""

    code, title = "FPG-B01", "not possible with isolation 'rollback'"


class OuterTransactionEnded(RollbackError):
    """The transaction that would undo the test was ended from inside."""

    code, title = "FPG-B02", "the outer transaction of a test was ended"


class ConstraintBroken(RollbackError):
    """A deferred constraint does not hold when a test ends."""

    code, title = "FPG-B03", "a deferred constraint does not hold at the end of a test"


class ConnectionNotAllowed(RollbackError):
    """A thread or task that the connection of a test was not given to used it."""

    code, title = "FPG-B04", "the connection belongs to a test"


class TurnTimedOut(RollbackError):
    """The connection of a test was busy for too long."""

    code, title = "FPG-B05", "the connection of a test was busy for too long"


class DataError(FreshpgError):
    """Rows of a test could not be set up, verified or removed."""

    code, title = "FPG-R00", "test data failed"
    origin: ClassVar[Origin] = "yours"


class DataInvalid(DataError):
    """Test data names a table, column or file that is not there, or cannot be read."""

    code, title = "FPG-R01", "test data does not fit the schema"


class ParentsImpossible(DataError):
    """A row that other rows require cannot be made without being told more."""

    code, title = "FPG-R02", "required parent rows cannot be made"


class DataInUse(DataError):
    """Rows that test data set up cannot be removed: others refer to them."""

    code, title = "FPG-R03", "test data is still in use"
