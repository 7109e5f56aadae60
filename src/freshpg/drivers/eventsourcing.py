"""The library ``eventsourcing``: applications on a leased database, or in memory with the same interface.

The database has the application's tables from its template: ``migrations = ["eventsourcing:shop.events:Shop"]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, TranscodingNotRegisteredError

from freshpg.core.errors import UsageInvalid
from freshpg.templates.migrations.eventenv import for_names, postgres_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventsourcing.domain import DomainEventProtocol

    from freshpg.handle import Database

AnyApplication = TypeVar("AnyApplication", bound=Application[Any])

MEMORY = {"PERSISTENCE_MODULE": "eventsourcing.popo"}


def environment(database: Database, names: Iterable[str] = ()) -> dict[str, str]:
    """Return the ``env`` that leads applications, also those called ``names``, to a leased database.

    For what is made by the test itself: ``SingleThreadedRunner(system, env=environment(database))``. Close that before
    the test ends, or let :meth:`Database.at_leave` do it.

    Raises:
        UsageInvalid: The database's level of isolation cannot cover an event store.
    """
    if database.isolation == "rollback":
        raise UsageInvalid(
            "an event-sourced application was to be connected",
            on=f"{database.name}, isolation rollback",
            seen="it opens connections of its own and commits on them, which a rollback cannot undo",
            todo=(
                f'set isolation = "reset" or "clone" in [tool.freshpg.databases.{database.blueprint}]',
            ),
        )
    return for_names(postgres_environment(database.conninfo, create_tables=False), names)


def wired(
    application: type[AnyApplication],
    database: Database,
    env: Mapping[str, str] | None = None,
) -> AnyApplication:
    """Return an application that keeps its events in a leased database.

    It is closed when the lease ends, before the database is taken back; or earlier, by ``with wired(…) as shop:``.

    Args:
        application: Its class.
        database: The database; its template holds the application's tables.
        env: Further settings of the application; they win.

    Raises:
        UsageInvalid: The tables are not there, or the database's level of isolation cannot cover an event store.
    """
    settings = environment(database, [application.name])
    made = application(env={**settings, **(env or {})})
    database.at_leave(made.close)
    try:
        _require_tables(made, database)
    except BaseException:
        made.close()
        raise
    return made


def in_memory(
    application: type[AnyApplication], env: Mapping[str, str] | None = None
) -> AnyApplication:
    """Return an application that keeps its events in memory: the same interface, no SQL, gone with the object."""
    return application(env={**for_names(MEMORY, [application.name]), **(env or {})})


def assert_roundtrip(
    event: DomainEventProtocol[Any],
    application: Application[Any] | type[Application[Any]] = Application,
) -> None:
    """Assert that an event comes back from its stored form as it went there.

    Args:
        event: The event, as an aggregate triggers it.
        application: The application, or its class, whose transcodings, compression and encryption are used; a plain one
            by default.

    Raises:
        AssertionError: It cannot be stored, or comes back as something else; says which field.
    """
    if isinstance(application, Application):
        _assert_roundtrip(event, application.mapper)
        return
    with in_memory(application) as made:
        _assert_roundtrip(event, made.mapper)


def _assert_roundtrip(event: DomainEventProtocol[Any], mapper: Mapper[Any]) -> None:
    name = type(event).__qualname__
    try:
        stored = mapper.to_stored_event(event)
    except (TypeError, TranscodingNotRegisteredError) as error:
        message = (
            f"{name} cannot be stored: {error}\n"
            "register a transcoding for that type in the application's register_transcodings()"
        )
        raise AssertionError(message) from error
    try:
        back = mapper.to_domain_event(stored)
    except Exception as error:
        message = f"{name} was stored and cannot be read back: {type(error).__name__}: {error}"
        raise AssertionError(message) from error
    if type(back) is not type(event):
        message = f"{name} comes back as {type(back).__qualname__}"
        raise AssertionError(message)
    differing = [
        f"  {field}: {value!r} comes back as {vars(back).get(field)!r}"
        for field, value in vars(event).items()
        if not _same(value, vars(back).get(field))
    ]
    if differing:
        raise AssertionError("\n".join([f"{name} comes back changed", *differing]))


def _same(value: Any, other: Any) -> bool:
    # Equality alone would let a tuple that became a list, or a Decimal that became a float, pass.
    return type(value) is type(other) and bool(value == other)


def _require_tables(made: Application[Any], database: Database) -> None:
    recorder: Any = made.recorder
    table = getattr(recorder, "events_table_name", None)
    if table is None:
        return
    schema = recorder.datastore.schema
    with recorder.datastore.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = %s",
            (schema, table),
        )
        if cursor.fetchone() is not None:
            return
    kind = type(made)
    raise UsageInvalid(
        "an event-sourced application was to be connected",
        on=f"{kind.__qualname__}, database {database.name}",
        seen=f"there is no table {schema}.{table}",
        todo=(
            f'add it to the blueprint {database.blueprint!r}: migrations = ["eventsourcing:{kind.__module__}:{kind.__qualname__}"]',
            'or let the application create it in every test: env={"CREATE_TABLE": "y"}',
        ),
        table=f"{schema}.{table}",
    )
