"""One line of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.sampling import Sample


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of what; ``target`` in words, ``reached`` where the project has one for it."""

    benchmark: str
    subject: str
    condition: str = ""
    unit: str = "ms"
    sample: Sample | None = None
    compared: str = ""
    target: str = ""
    reached: bool | None = None
    skipped: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        figures = self.sample.to_json() if self.sample else {}
        facts = {
            "benchmark": self.benchmark,
            "subject": self.subject,
            "condition": self.condition,
            "unit": self.unit,
            "compared": self.compared,
            "target": self.target,
            "reached": self.reached,
            "skipped": self.skipped,
        }
        return {
            **{key: value for key, value in facts.items() if value not in {"", None}},
            **figures,
            **self.extra,
        }


def to_markdown(row: Mapping[str, Any]) -> str:
    """Return one line of a table from a row's JSON."""
    reached = {None: "", True: "reached", False: "**missed**"}[row.get("reached")]
    if "median" in row:
        figure = f"{_short(row['median'])} {row['unit']}"
        spread = f"{_short(row['min'])}, {_short(row['q1'])} to {_short(row['q3'])}, n={row['n']}"
    else:
        figure, spread = f"skipped: {row.get('skipped', '')}", ""
    words = (
        row["subject"],
        row.get("condition", ""),
        figure,
        spread,
        row.get("compared", ""),
        row.get("target", ""),
    )
    return "| " + " | ".join((*words, reached)) + " |"


def _short(value: float) -> str:
    return (
        f"{value:.0f}"
        if abs(value) >= 100
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
    )
