"""Objects of SQLAlchemy's mapper, stored through a session."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import UsageInvalid
from freshpg.postgres.quoting import ident

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from freshpg.data.catalog import Catalog
    from freshpg.data.journal import Journal
    from freshpg.data.parents import Parents
    from freshpg.handle import Database


def is_mapped(thing: Any) -> bool:
    """Whether an object belongs to SQLAlchemy's mapper; SQLAlchemy is not imported to find out."""
    return hasattr(thing, "_sa_instance_state")


@contextmanager
def session_for(database: Database, given: Session | None) -> Iterator[Session]:
    """Yield the given session, flushed afterwards, or one of our own, committed.

    Raises:
        UsageInvalid: There is none given and ours could not be seen by the test.
    """
    if given is not None:
        yield given
        given.flush()
        return
    if database.isolation == "rollback":
        raise UsageInvalid(
            "mapped objects were to be created",
            on=f"{database.name}, isolation rollback",
            seen="a session of our own would commit them, and the test's session would not see them",
            todo=("say which session to use: pg_data.on(pg_session).create(…)",),
        )
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import NullPool

    engine = create_engine(database.url_for("sqlalchemy+psycopg"), poolclass=NullPool)
    with Session(engine, expire_on_commit=False) as session:
        yield session
        session.commit()
    engine.dispose()


def store(
    session: Session,
    objects: Sequence[Any],
    catalog: Catalog,
    journal: Journal,
    parents: Parents | None,
) -> None:
    """Add objects and what they relate to, and remember every row that made."""
    from sqlalchemy import event, inspect

    if parents is not None:
        for one in objects:
            _complete(one, catalog, parents)
    new: list[Any] = []

    def remember(flushed: Session, *_: object) -> None:
        new.extend(flushed.new)

    event.listen(session, "before_flush", remember)
    try:
        session.add_all(objects)
        session.flush()
    finally:
        event.remove(session, "before_flush", remember)
    for one in objects:
        # What the server filled in is there when the session is gone; what it relates to is not let go of.
        session.refresh(one, [attribute.key for attribute in inspect(type(one)).column_attrs])
    for one in new:
        _note(one, catalog, journal)


def _complete(one: Any, catalog: Catalog, parents: Parents) -> None:
    from sqlalchemy import inspect
    from sqlalchemy.orm import RelationshipDirection

    mapper = inspect(type(one))
    related = {
        column.name
        for relationship in mapper.relationships
        if relationship.direction is RelationshipDirection.MANYTOONE
        and one.__dict__.get(relationship.key) is not None
        for column in relationship.local_columns
    }
    attributes = {
        attribute.columns[0].name: attribute.key
        for attribute in mapper.column_attrs
        if hasattr(attribute.columns[0], "table")
    }
    given = {
        column: one.__dict__[key]
        for column, key in attributes.items()
        if one.__dict__.get(key) is not None
    }
    table = catalog.table(_name(mapper.local_table))
    whole = parents.complete(table, given, settled=frozenset(related))
    for column, value in whole.items():
        if column not in given:
            setattr(one, attributes[column], value)


def _note(one: Any, catalog: Catalog, journal: Journal) -> None:
    from sqlalchemy import inspect

    mapper = inspect(type(one))
    for mapped in mapper.tables:
        table = catalog.table(_name(mapped))
        values = {
            column.name: getattr(one, mapper.get_property_by_column(column).key)
            for column in mapped.columns
            if column.name in table.primary_key
        }
        journal.note(table, [tuple(str(values[name]) for name in table.primary_key)])


def _name(mapped: Any) -> str:
    return f"{ident(mapped.schema)}.{ident(mapped.name)}" if mapped.schema else ident(mapped.name)
