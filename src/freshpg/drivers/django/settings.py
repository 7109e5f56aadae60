"""``DATABASES`` made from the project's blueprints, for settings that are only there for tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DjangoUnusable
from freshpg.core.settings import load_settings
from freshpg.drivers.django.aliases import DEFAULT_ALIAS, KEY, MAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENGINE = "django.db.backends.postgresql"


def databases(
    root: Path | str = ".", *, aliases: Mapping[str, str] | None = None, **entry: Any
) -> dict[str, dict[str, Any]]:
    """Return ``DATABASES``: one alias a blueprint, ``default`` for ``main``. Nothing is started.

    The entries say no host: outside of tests nothing answers there.

    Args:
        root: Where the project's settings of freshpg are looked for, upwards.
        aliases: Blueprint by alias; by default each blueprint under its own name, ``main`` or an only one as ``default``.
        entry: Further keys for every entry: ``ENGINE``, ``OPTIONS``, ``CONN_MAX_AGE``, ``TEST``.

    Raises:
        ConfigurationError: A setting of freshpg is not valid.
        DjangoUnusable: No blueprint is ``default``.
    """
    settings = load_settings(Path(root), environment=os.environ)
    chosen = dict(aliases) if aliases is not None else _by_name(settings.databases)
    return {
        alias: {
            "ENGINE": ENGINE,
            "NAME": settings.database(blueprint).name,
            **entry,
            "TEST": {**entry.get("TEST", {}), KEY: blueprint},
        }
        for alias, blueprint in chosen.items()
    }


def _by_name(blueprints: Iterable[str]) -> dict[str, str]:
    names = list(blueprints)
    default = MAIN if MAIN in names else names[0] if len(names) == 1 else DEFAULT_ALIAS
    if default not in names:
        raise DjangoUnusable(
            "DATABASES was made from the project's blueprints",
            on=DEFAULT_ALIAS,
            seen=f"no blueprint is called main; there are: {', '.join(names) or 'none'}",
            todo=(
                f'say which is which: databases(BASE_DIR, aliases={{"default": "{(names or [MAIN])[0]}"}})',
            ),
        )
    others = {name: name for name in names if name != default}
    return {DEFAULT_ALIAS: default, **others}
