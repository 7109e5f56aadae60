"""Our mark on a database: the proof, read on the live server, that we made it and may remove it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

Kind = Literal[
    "template",
    "building",
    "slot",
    "ready",
    "readonly",
    "failed",
    "coordination",
    "scratch",
    "tenant",
]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What ``COMMENT ON DATABASE`` says on a database of ours.

    ``oid`` and ``system`` tie it to one database of one cluster: a comment that came with a restored dump or was
    copied by hand proves nothing.
    """

    kind: Kind
    blueprint: str
    fingerprint: str = ""
    oid: int = 0
    system: str = ""
    made: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def tied_to(self, oid: int, system: str) -> Mark:
        """Return the mark as it stands on one database of one cluster."""
        return replace(self, oid=oid, system=system)

    def proves(self, oid: int, system: str) -> bool:
        """Whether this mark was put on exactly this database."""
        return self.oid == oid and self.system == system

    def to_comment(self) -> str:
        """Return the text of the comment."""
        return json.dumps(
            {
                "freshpg": FORMAT,
                "kind": self.kind,
                "blueprint": self.blueprint,
                "fingerprint": self.fingerprint,
                "oid": self.oid,
                "system": self.system,
                "made": self.made,
                **({"facts": self.facts} if self.facts else {}),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_comment(cls, comment: str | None) -> Mark | None:
        """Read a comment; ``None`` when it is not a mark of ours or of a format we do not know."""
        try:
            found = json.loads(comment or "")
            if found["freshpg"] != FORMAT or found["kind"] not in get_args(Kind):
                return None
            return cls(
                kind=found["kind"],
                blueprint=str(found.get("blueprint", "")),
                fingerprint=str(found.get("fingerprint", "")),
                oid=int(found.get("oid", 0)),
                system=str(found.get("system", "")),
                made=str(found.get("made", "")),
                facts=dict(found.get("facts", {})),
            )
        except (ValueError, TypeError, LookupError, RecursionError):
            # Anybody may write anything there: it must neither stop us nor count as ours.
            return None
