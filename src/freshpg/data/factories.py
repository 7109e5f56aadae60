"""Objects that factories build, as rows: polyfactory's and factory_boy's, or anything else with a ``build()``."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Protocol

from freshpg.core.errors import DataInvalid, TableUnknown, UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.data.catalog import Catalog
    from freshpg.data.tables import TargetTable


class Factory(Protocol):
    """What is needed of a factory."""

    def build(self, **values: Any) -> Any:
        """Return an object that is stored nowhere."""


def model_of(factory: Any) -> type[Any]:
    """Return the class a factory builds.

    Raises:
        UsageInvalid: It is no factory, or one that stores by itself.
    """
    meta = getattr(factory, "_meta", None)
    model = getattr(factory, "__model__", None) or getattr(meta, "model", None)
    if model is None or not callable(getattr(factory, "build", None)):
        raise UsageInvalid(
            "test data was to be created by a factory",
            on=repr(factory),
            seen="it has no build(), or does not say what it builds",
            todo=("give a class derived from one of polyfactory's or factory_boy's factories",),
        )
    if any(base.__module__ == "factory.django" for base in getattr(factory, "__mro__", ())):
        raise UsageInvalid(
            "test data was to be created by a factory",
            on=factory.__name__,
            seen="it is a factory of Django's models, and those store through Django's own connection",
            todo=("call it: Django is connected to the test's database already",),
        )
    found: type[Any] = model
    return found


def row_of(built: Any) -> dict[str, Any]:
    """Return the fields of what a factory built: mapping, dataclass, pydantic, attrs, msgspec, named tuple, or object."""
    kind = type(built)
    if isinstance(built, dict):
        return dict(built)
    if dataclasses.is_dataclass(built):
        names = [field.name for field in dataclasses.fields(built)]
    elif hasattr(kind, "model_fields"):
        names = list(kind.model_fields)
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    elif hasattr(kind, "__struct_fields__"):
        names = list(kind.__struct_fields__)
    elif hasattr(kind, "_fields"):
        names = list(kind._fields)
    else:
        names = [name for name in vars(built) if not name.startswith("_")]
    return {name: getattr(built, name) for name in names}


def is_record(value: Any) -> bool:
    """Whether a value is an object of fields, and so perhaps a row of another table."""
    marks = ("model_fields", "__attrs_attrs__", "__struct_fields__")
    return dataclasses.is_dataclass(value) or any(hasattr(type(value), mark) for mark in marks)


def left_to_the_server(
    table: TargetTable, row: Mapping[str, Any], said: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a built row without keys that the server numbers by itself, unless the test said them.

    A factory makes up a number for every field; one for an identity column would collide with the next row sooner or
    later.
    """
    return {
        name: value for name, value in row.items() if name in said or not table.column(name).filled
    }


def table_of(model: type[Any], catalog: Catalog) -> TargetTable:
    """Return the table that objects of a class go into: its ``__tablename__``, or the one called like it.

    Raises:
        DataInvalid: None is called like it, or several are.
    """
    named = getattr(model, "__tablename__", None)
    if named:
        return catalog.table(named)
    candidates = table_names(model.__name__)
    found = []
    for name in candidates:
        try:
            found.append(catalog.table(name))
        except TableUnknown:
            continue
    if len(found) != 1:
        raise DataInvalid(
            "the table of a factory's objects was looked for",
            on=model.__name__,
            seen=f"of {', '.join(candidates)}, "
            + (f"{', '.join(table.shown for table in found)} exist" if found else "none exists"),
            todo=("name it: create(Factory, table='…')", "or give the class a __tablename__"),
        )
    return found[0]


def table_names(name: str) -> tuple[str, ...]:
    """Return what a table of ``CartItem`` may be called: ``cart_item``, and its plurals."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    plural = f"{snake[:-1]}ies" if re.search(r"[^aeiou]y$", snake) else f"{snake}s"
    plural = f"{snake}es" if re.search(r"(s|x|z|ch|sh)$", snake) else plural
    return (snake, plural)
