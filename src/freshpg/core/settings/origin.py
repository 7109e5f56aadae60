"""Where a value came from, and the errors that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from freshpg.core.errors import SettingsInvalid
from freshpg.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SHOWN = 80


class Origin(NamedTuple):
    """Place a value was read from; ``str()`` of it is what ``freshpg config`` prints."""

    text: str
    path: Path | None = None
    line: int | None = None

    @classmethod
    def of_file(cls, path: Path, line: int | None) -> Origin:
        """Return the origin of a value in a file, with its line counted from one when known."""
        return cls(f"{path.name}:{line}" if line else path.name, path, line)

    @property
    def full(self) -> str:
        """The place with its whole path, for errors."""
        if self.path is None:
            return self.text
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def __str__(self) -> str:
        return self.text


DEFAULT = Origin("default")
CALL = Origin("call argument")


def unknown_key(key: str, origin: Origin, known: Iterable[str], hint: str = "") -> SettingsInvalid:
    """Return the error for a key that no setting has; ``known`` are full keys at the same place."""
    names = sorted(known)
    near = nearest(key, names)
    todo = [f"did you mean {near}?"] if near else []
    todo += [hint] if hint else []
    return SettingsInvalid(
        "an unknown key was found",
        on=f"{key} in {origin.full}",
        seen="no setting has this name",
        todo=(*todo, f"known here: {', '.join(names)}"),
        key=key,
        nearest=near,
        path=origin.path,
        line=origin.line,
    )


def wrong_value(
    key: str, origin: Origin, expected: str, value: object, why: str = ""
) -> SettingsInvalid:
    """Return the error for a value of the wrong type or out of range; the value is shown without passwords."""
    return SettingsInvalid(
        "a setting was checked before anything was made",
        on=f"{key} in {origin.full}",
        seen=f"{shown(value)}{', ' + why if why else ''}",
        todo=(f"expected: {expected}",),
        key=key,
        expected=expected,
        path=origin.path,
        line=origin.line,
    )


def nearest(word: str, names: Sequence[str]) -> str:
    """Return the name most like ``word``, or nothing."""
    import difflib

    return next(iter(difflib.get_close_matches(word, names, n=1, cutoff=0.6)), "")


def shown(value: object) -> str:
    """Return a value for a message: type, text without passwords, cut when long."""
    text = redact(repr(value))
    return f"{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'} ({type(value).__name__})"
