"""Memory of an audit and its repair, by how many rows a test left."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ground import Ground
    from freshpg.manager import DatabaseManager

FEW, MANY = 1_000, 100_000
# Of an interpreter that keeps a free list here and there; rows would take a hundred times as much.
SLACK = 64.0


def run(ground: Ground, name: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    project = ground.project(schema(10, seeded=5))
    counts = (FEW, 10_000, MANY)
    found: dict[int, list[float]] = {count: [] for count in counts}
    how: dict[int, str] = {}
    with ground.manager(project, isolation="reset") as manager:
        for _ in range(2 if quick else 5):
            for count in counts:
                peak, how[count] = _peak(manager, count)
                found[count].append(peak)
    fewest = Sample.of(found[FEW]).median
    for count, peaks in found.items():
        sample = Sample.of(peaks)
        yield Row(
            name, "memory of Python's at the peak of a reset", f"{count} rows left", "kB", sample,
            compared=f"{sample.median / fewest:.2f} x that of {FEW}, {how[count]}",
            target="does not grow with rows" if count == MANY else "",
            reached=sample.median <= fewest + SLACK if count == MANY else None,
        )  # fmt: skip


def _peak(manager: DatabaseManager, count: int) -> tuple[float, str]:
    """Return the kilobytes that a reset took at once, and how it was done."""
    with manager.lease() as database:
        database.reset()
        with database.connect(autocommit=True) as connection:
            connection.execute(
                "INSERT INTO item_1 (name) SELECT 'x' FROM generate_series(1, %s)", (count,)
            )
        tracemalloc.start()
        try:
            residue = database.reset()
            peak = tracemalloc.get_traced_memory()[1] / 1024
        finally:
            tracemalloc.stop()
    return peak, "replaced by a clone" if residue.replaced else f"undone in place ({residue.how})"
