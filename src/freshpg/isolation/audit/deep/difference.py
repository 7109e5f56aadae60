"""What two deep states differ in, said by name. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Key = tuple[str, str]
"""Kind and name of a thing: ``("rows", "public.cart")``."""

Change = Literal["created", "dropped", "altered"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing's state, as hashes the server made.

    Args:
        fields: What each value is; one tuple shared by all entries of a kind.
        values: As many: hashes, or plain numbers where a person can use them (row counts, sequence values).
        part_of: Name of the object it goes with, empty when it stands alone.
    """

    fields: tuple[str, ...]
    values: tuple[int | str | None, ...]
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was; ``detail`` says in what, as far as that is known without the old content."""

    kind: str
    name: str
    change: Change
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.kind} {self.name} {self.change}{detail}"


def compare(before: Mapping[Key, Entry], after: Mapping[Key, Entry]) -> tuple[Difference, ...]:
    """Return what changed from ``before`` to ``after``; parts of what came or went are not told one by one."""
    created = {key: after[key] for key in after.keys() - before.keys()}
    dropped = {key: before[key] for key in before.keys() - after.keys()}
    found = [
        *(Difference(*key, "created") for key in _wholes(created)),
        *(Difference(*key, "dropped") for key in _wholes(dropped)),
        *(
            Difference(*key, "altered", _detail(key[0], before[key], after[key]))
            for key in before.keys() & after.keys()
            if before[key] != after[key]
        ),
    ]
    return tuple(sorted(found, key=lambda one: (one.kind, one.name, one.change)))


def _wholes(entries: Mapping[Key, Entry]) -> Iterator[Key]:
    names = {name for (_, name), entry in entries.items() if not entry.part_of}
    # A part's part goes with the whole as well: the array of a table's row type.
    grown = True
    while grown:
        parts = {name for (_, name), entry in entries.items() if entry.part_of in names} - names
        names |= parts
        grown = bool(parts)
    for key, entry in entries.items():
        if not entry.part_of or entry.part_of not in names:
            yield key


_PLAIN = {"rows": ("rows",), "sequence value": ("last_value", "is_called")}


def _detail(kind: str, before: Entry, after: Entry) -> str:
    if before.fields != after.fields:
        return "read differently"
    pairs = zip(before.fields, before.values, after.values, strict=True)
    changed = [(field, old, new) for field, old, new in pairs if old != new]
    plain = _PLAIN.get(kind, ())
    if any(field in plain for field, _, _ in changed):
        return ", ".join(f"{field} {old} → {new}" for field, old, new in changed if field in plain)
    return ", ".join(field for field, _, _ in changed)
