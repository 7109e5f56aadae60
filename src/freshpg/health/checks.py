"""One question about what a test depends on, and its answer: figure, verdict, remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["good", "warning", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: What was looked at.
        verdict: ``bad`` keeps tests from working, a ``warning`` soon may, ``unknown`` could not be found out.
        text: The answer for a person.
        figure: The number behind it, in ``unit``; None where there is none.
        remedy: What to do; empty when all is well.
    """

    name: str
    verdict: Verdict
    text: str
    figure: float | None = None
    unit: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether tests can work as far as this goes."""
        return self.verdict != "bad"

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "name": self.name,
            "ok": self.ok,
            "verdict": self.verdict,
            "text": self.text,
            "figure": self.figure,
            "unit": self.unit,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Health:
    """All answers; truthy when none is bad."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check is bad; warnings do not count."""
        return all(check.ok for check in self.checks)

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Those that may keep tests from working soon."""
        return tuple(check for check in self.checks if check.verdict == "warning")

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"ok": self.ok, "checks": [check.to_json() for check in self.checks]}


NOT_STARTED = Health(
    (
        Check(
            "server",
            "bad",
            "not started",
            remedy="start the manager, or ask it for a database, which starts it",
        ),
    )
)
