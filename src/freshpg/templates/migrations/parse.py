"""From what the user wrote to the step it means."""

from __future__ import annotations

from difflib import get_close_matches
from glob import has_magic
from typing import TYPE_CHECKING

from freshpg.core.errors import BlueprintInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.templates.migrations.base import Step, StepSpec

KINDS = (
    "path/to/file.sql, a directory or a glob of such files",
    "alembic:alembic.ini",
    "django, django:project.settings, django:project.settings:alias",
    "call:module:function",
    "eventsourcing:module:Application",
    "run:command",
)
"""How steps may be written, for messages and documentation."""

_LATER = {
    "dbmate": "run:dbmate --migrations-dir {rest} --no-dump-schema up",
}
_PREFIXES = ("alembic", "django", "call", "eventsourcing", "run")


def parse_step(spec: StepSpec, root: Path) -> Step:
    """Return the step ``spec`` means; nothing is read or run yet.

    Raises:
        BlueprintInvalid: No kind of step is written so.
    """
    # Each kind is imported when it is named: a project of SQL files needs no child processes.
    if not isinstance(spec, str):
        from freshpg.templates.migrations.incode import CallableStep

        return CallableStep(spec, root)
    prefix, colon, rest = spec.partition(":")
    if colon or prefix == "django":
        return _prefixed(spec, prefix, rest.strip(), root)
    from freshpg.templates.migrations.sqlfile import SqlFile, SqlFiles

    if has_magic(spec) or (root / spec).is_dir():
        return SqlFiles(spec, root)
    return SqlFile(spec, root)


def _prefixed(spec: str, prefix: str, rest: str, root: Path) -> Step:
    match prefix:
        case "alembic":
            from freshpg.templates.migrations.alembic import AlembicStep

            return AlembicStep(spec, rest or "alembic.ini", root)
        case "django":
            from freshpg.templates.migrations.django import DjangoStep

            module, _, alias = rest.partition(":")
            return DjangoStep(spec, module.strip(), root, alias.strip() or "default")
        case "call" if rest.count(":") == 1 and all(rest.split(":")):
            from freshpg.templates.migrations.call import CallStep

            module, _, function = rest.partition(":")
            return CallStep(spec, module, function, root)
        case "eventsourcing" if rest.count(":") == 1 and all(rest.split(":")):
            from freshpg.templates.migrations.eventsourcing import EventsourcingStep

            module, _, name = rest.partition(":")
            return EventsourcingStep(spec, module, name, root)
        case "run" if rest:
            from freshpg.templates.migrations.command import CommandStep

            return CommandStep(spec, rest, root)
        case "call" | "eventsourcing" | "run":
            raise _invalid(spec, f"nothing complete follows {prefix}:", f"write {_example(prefix)}")
        case _ if prefix in _LATER:
            way = _LATER[prefix].format(rest=rest or "db/migrations")
            raise _invalid(spec, f"this version has no steps of kind {prefix}:", f'write "{way}"')
    near = get_close_matches(prefix, _PREFIXES, n=1)
    also = (f"did you mean {near[0]}:?",) if near else ()
    raise _invalid(spec, f"no kind of step is called {prefix}:", *also)


def _example(prefix: str) -> str:
    return next(kind for kind in KINDS if kind.startswith(prefix))


def _invalid(spec: str, seen: str, *todo: str) -> BlueprintInvalid:
    return BlueprintInvalid(
        "a step of a blueprint was read",
        on=repr(spec),
        seen=seen,
        todo=(*todo, f"steps are written as: {'; '.join(KINDS)}"),
        step=spec,
    )
