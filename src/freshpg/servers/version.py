"""PostgreSQL's version, as a server program states it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

OLDEST_MAJOR: Final = 15

_STATED = re.compile(r"\(PostgreSQL\) (?P<major>\d+)(?:\.(?P<minor>\d+)|(?P<stage>[a-z]+\d*))?")


@dataclass(frozen=True, slots=True, order=True)
class PgVersion:
    """Major and minor version; ``text`` is the program's own line and takes no part in comparisons.

    A version in the making (``19beta1``, ``19devel``) has minor 0, as ``server_version_num`` has it.
    """

    major: int
    minor: int
    text: str = field(default="", compare=False)

    @classmethod
    def parse(cls, stated: str) -> PgVersion | None:
        """Read the output of ``postgres -V``; None when it is something else."""
        found = _STATED.search(stated)
        if found is None:
            return None
        return cls(int(found["major"]), int(found["minor"] or 0), stated.strip())

    @property
    def number(self) -> int:
        """The version as ``server_version_num`` writes it: 180006 for 18.6."""
        return self.major * 10_000 + self.minor

    def __str__(self) -> str:
        found = _STATED.search(self.text)
        stage = found["stage"] if found else None
        return f"{self.major}{stage}" if stage else f"{self.major}.{self.minor}"
