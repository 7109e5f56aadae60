"""What isolation is to reach, as ratios between suites of one run, taken round by round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.bodies import WORDS
from benchmarks.rows import Row
from benchmarks.sampling import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RESET = "freshpg reset"
ROLLBACK = "freshpg rollback, pg_conn"
BARE = "psycopg, BEGIN and ROLLBACK in a fixture"
RECIPE = "SQLAlchemy, savepoint recipe"


@dataclass(frozen=True, slots=True)
class Key:
    """What was measured: which way of isolation, with which body, on how many tables and workers."""

    subject: str
    body: str = "one"
    tables: int = 100
    workers: int = 1

    @property
    def condition(self) -> str:
        workers = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{WORDS[self.body]}, {self.tables} tables{workers}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """``above`` is to take at most ``most`` times what ``below`` takes; small ones are shown the other way round."""

    above: Key
    below: Key
    most: float

    def rows(self, name: str, found: Mapping[Key, Sequence[float]]) -> Iterator[Row]:
        """Yield the line of the table, if both were measured."""
        if self.above not in found or self.below not in found:
            return
        pairs = list(zip(found[self.above], found[self.below], strict=True))
        turned = self.most < 0.1
        if turned:
            pairs = [(below, above) for above, below in pairs]
        sample = Sample.of(above / below for above, below in pairs if below > 0)
        if not sample.values:
            return
        if turned:
            subject = f"{self.below.subject} / {self.above.subject}"
            target, reached = f">= {1 / self.most:g} x", sample.median >= 1 / self.most
        else:
            subject = f"{self.above.subject} / {self._below}"
            target, reached = f"<= {self.most:g} x", sample.median <= self.most
        yield Row(
            name, subject, self.above.condition, "x", sample, target=target, reached=reached
        )  # fmt: skip

    @property
    def _below(self) -> str:
        """What it is compared with; its condition where that is what differs."""
        if self.below.condition == self.above.condition:
            return self.below.subject
        same = self.below.subject == self.above.subject
        return f"{'itself' if same else self.below.subject} with {self.below.condition}"


@dataclass(frozen=True, slots=True)
class Absolute:
    """A figure with a limit of its own, in milliseconds."""

    key: Key
    most: float


def _elsewhere(role: str) -> Ratio:
    subject = f"freshpg reset, another's server, as {role}"
    return Ratio(Key(subject, tables=1000), Key(subject), 5.0)


DJANGO = "pytest-django transaction=True on freshpg"
RATIOS = (
    Ratio(Key(RESET), Key(BARE), 2.0),
    Ratio(Key(RESET, tables=10), Key(BARE, tables=10), 2.0),
    Ratio(Key(RESET, tables=1000), Key(BARE, tables=1000), 2.0),
    Ratio(Key(RESET, workers=2), Key(BARE, workers=2), 2.0),
    Ratio(Key(DJANGO), Key("pytest-django db"), 0.4),
    # Not the same driver, but what a project that needs no object mapper would compare.
    Ratio(Key(RESET), Key("pytest-django db"), 0.4),
    Ratio(Key("freshpg reset, pg_session"), Key(RECIPE), 0.7),
    Ratio(Key(DJANGO), Key("pytest-django transaction=True"), 1 / 50),
    Ratio(Key(RESET), Key("pytest-postgresql, running server"), 1 / 50),
    Ratio(Key(RESET), Key("pytest-postgresql, own server"), 1 / 50),
    Ratio(Key(RESET, "five"), Key(RESET), 1.5),
    Ratio(Key(ROLLBACK), Key(BARE), 1.1),
    Ratio(Key(ROLLBACK, workers=2), Key(BARE, workers=2), 1.1),
    Ratio(Key("freshpg rollback, pg_session"), Key(RECIPE), 0.6),
    Ratio(Key(RESET, tables=1000), Key(RESET), 1.2),
    _elsewhere("a superuser"),
    _elsewhere("a role with CREATEDB"),
)

ABSOLUTE = (Absolute(Key(RESET, "nothing"), 0.2),)
