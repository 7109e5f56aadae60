"""Tenant pools of an application: checkout, new tenants, throughput, eviction, growth; beside bare pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.tenants import checkout, creation, queries, zipf
from benchmarks.tenants.town import town

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ground import Ground
    from benchmarks.rows import Row

NAME = "tenants"


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    with town(ground, 6 if quick else 100, connections=60 if quick else 700) as place:
        for part in (checkout, queries, zipf):
            yield from part.run(place, NAME, quick=quick)
    with town(ground, connections=60 if quick else 300) as place:
        yield from creation.run(place, NAME, quick=quick)
