"""What an image says of itself, in ``image.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """Facts of one image.

    Attributes:
        key: Its name: digest of everything that determined its contents.
        build_id: Of the PostgreSQL that made it and may start it.
        version: The same for a person: ``18.6``.
        chains: Digests of the migration steps of each blueprint in it, in order; empty for a base image.
        templates: Name of the template database of each blueprint in it.
        system_identifier: Of the cluster; every copy has the same.
        catalog_version: Of the cluster.
        control_offset: Where in the pack ``global/pg_control`` begins.
        created: Seconds since the epoch.
        build_seconds: What making it took, and what having it saves.
        data_bytes: Of a copy.
        pack_bytes: Of the file that holds it.
        file_count: Of a copy.
        checksum: CRC-32 of the file that holds it.
        facts: Whatever the maker wants back: JSON values.
    """

    key: str
    build_id: str
    version: str
    system_identifier: str
    catalog_version: int
    control_offset: int
    created: float
    build_seconds: float
    data_bytes: int
    pack_bytes: int
    file_count: int
    checksum: int
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        """Return the text of ``image.json``."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest | None:
        """Read ``image.json``; None when it is not one of this format."""
        try:
            content = json.loads(text)
            if content.get("format") != FORMAT:
                return None
            content["chains"] = {name: tuple(chain) for name, chain in content["chains"].items()}
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def steps_shared_with(self, wanted: Mapping[str, Sequence[str]]) -> int | None:
        """Return how many migration steps towards ``wanted`` are done in it; None when it leads elsewhere.

        A step's digest includes those before it, so equal digests in one place mean equal beginnings.
        """
        steps = 0
        for blueprint, chain in self.chains.items():
            if tuple(wanted.get(blueprint, ()))[: len(chain)] != chain:
                return None
            steps += len(chain)
        return steps
