"""Which Django this package can work with."""

from __future__ import annotations

from importlib import metadata

from freshpg.core.errors import DjangoUnusable

OLDEST = (5, 2)
"""The oldest release whose test cases have the seams that are used here."""


def require_django() -> None:
    """Make sure that Django is there and new enough, without importing it.

    Raises:
        DjangoUnusable: It is not.
    """
    try:
        version = metadata.version("django")
    except metadata.PackageNotFoundError:
        raise DjangoUnusable(
            "Django was looked for", seen="it is not installed", todo=(_INSTALL,)
        ) from None
    if _numbers(version) < OLDEST:
        raise DjangoUnusable(
            "the version of Django was checked",
            on=f"Django {version}",
            seen=f"the oldest one supported is {OLDEST[0]}.{OLDEST[1]}",
            todo=(
                _INSTALL,
                "or point Django at databases by hand: freshpg run -- python manage.py test",
            ),
        )


_INSTALL = "pip install 'freshpg[django]'"


def _numbers(version: str) -> tuple[int, ...]:
    digits = ("".join(filter(str.isdigit, part)) for part in version.split(".")[:2])
    return tuple(int(part or 0) for part in digits)
