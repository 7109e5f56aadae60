"""``freshpg.database``: one fresh database for a script, a notebook or a unittest."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freshpg.core.names import default_database_name
from freshpg.core.settings import load_settings
from freshpg.manager import DatabaseManager
from freshpg.supervision.noting import noted
from freshpg.templates.blueprint import Blueprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freshpg.handle import Database
    from freshpg.templates.migrations.base import StepSpec


@contextmanager
def database(
    *migrations: StepSpec,
    name: str = "",
    seed: Sequence[StepSpec] = (),
    extensions: Sequence[str] = (),
    isolation: str | None = None,
    **settings: Any,
) -> Iterator[Database]:
    """Lend a fresh database to a script, a notebook or a unittest; it is gone afterwards.

    Args:
        migrations: Steps that make it, as in the settings, or callables; none takes the project's ``main``.
        name: Its name; by default made from the current directory's.
        seed: Steps that fill it.
        extensions: Extensions to create in it.
        isolation: Level, as in the settings by default.
        settings: Any setting, for this call: ``server="system"``, ``postgres=17``, ``superuser=True``.

    Raises:
        ConfigurationError: An argument is not valid.
        TemplateError: A migration failed.
        ServerError: No server was to be had, or it failed.
    """
    chosen = load_settings(
        Path.cwd(),
        environment=os.environ,
        overrides={key: (value, "argument of database()") for key, value in settings.items()},
    )
    blueprints: tuple[Blueprint, ...] = ()
    if migrations:
        blueprints = (
            Blueprint(
                "main",
                name or default_database_name(Path.cwd().name),
                migrations,
                seed=seed,
                extensions=(*chosen.extensions, *extensions),
                superuser=chosen.superuser,
                deadline=chosen.deadline,
            ),
        )
    manager = DatabaseManager(chosen, blueprints=blueprints)
    with (
        noted(lambda: manager.log),
        manager,
        manager.lease("main", isolation=isolation) as lent,
    ):
        yield lent
