"""What a template says of itself: its mark, read and written in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freshpg.postgres.mark import Mark

if TYPE_CHECKING:
    from freshpg.postgres.database_facts import DatabaseFacts
    from freshpg.templates.plan import Plan


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    """A finished template; times are seconds since the epoch, ``seconds`` is how long it took to build."""

    name: str
    blueprint: str
    fingerprint: str
    made: float
    used: float
    seconds: float
    steps: int
    facts: dict[str, Any]
    size: int = 0
    in_use: bool = False


def attempt_token(fingerprint: str, chance: str) -> str:
    """Return the token of one attempt: half says which template, so that its next builder finds it without a mark."""
    return fingerprint[:6] + chance[:6]


def template_mark(plan: Plan, *, now: float, seconds: float) -> Mark:
    """Return the mark that says a template is finished."""
    facts = plan.chain.facts()
    facts |= {"steps": len(plan.steps), "seconds": round(seconds, 3), "used": round(now)}
    return Mark("template", plan.blueprint.name, plan.fingerprint, made=_iso(now), facts=facts)


def building_mark(plan: Plan, template: str, *, now: float) -> Mark:
    """Return the mark of a template that is being built: ours to remove, of no other use."""
    return Mark(
        "building",
        plan.blueprint.name,
        plan.fingerprint,
        made=_iso(now),
        facts={"template": template},
    )


def touched(mark: Mark, now: float) -> Mark:
    """Return the mark with the time of its last use."""
    return replace(mark, facts={**mark.facts, "used": round(now)})


def record_of(facts: DatabaseFacts) -> TemplateRecord | None:
    """Return what a database says, or ``None`` when it is no finished template of ours."""
    mark = facts.mark
    if mark is None or mark.kind != "template" or facts.allows_connections:
        return None
    made = _epoch(mark.made)
    return TemplateRecord(
        name=facts.name,
        blueprint=mark.blueprint,
        fingerprint=mark.fingerprint,
        made=made,
        used=_number(mark.facts.get("used"), made),
        seconds=_number(mark.facts.get("seconds"), 0.0),
        steps=int(_number(mark.facts.get("steps"), 0)),
        facts=mark.facts,
    )


def _iso(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")


def _epoch(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise
