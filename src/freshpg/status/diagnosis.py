"""``freshpg doctor``: everything a start depends on, looked at without starting or making anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import FreshpgError
from freshpg.health.examine import around
from freshpg.provision.session import choose
from freshpg.servers import runas, storage
from freshpg.servers.extensions import missing
from freshpg.status.healths import healths
from freshpg.status.keepers import running_keepers
from freshpg.status.remains import image_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freshpg.core.settings import Settings
    from freshpg.health.checks import Check
    from freshpg.servers.binaries import Binaries
    from freshpg.servers.discovery import Attempt, Choice


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``good`` is None for what is neither good nor bad.

    Attributes:
        figure: The number behind it, in ``unit``; None where there is none.
        remedy: What to do about it; empty when there is nothing to do.
    """

    topic: str
    name: str
    good: bool | None
    text: str
    figure: float | None = None
    unit: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, topic: str, check: Check) -> Finding:
        """Return what a check of health found."""
        good = {"good": True, "bad": False}.get(check.verdict)
        return cls(topic, check.name, good, check.text, check.figure, check.unit, check.remedy)

    @property
    def verdict(self) -> str:
        """``good``, ``bad``, ``warning`` (there is something to do about it), or ``note``."""
        if self.good is None:
            return "warning" if self.remedy else "note"
        return "good" if self.good else "bad"

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        names = ("topic", "name", "good", "verdict", "text", "figure", "unit", "remedy")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings; ``error`` when no server is to be had."""

    findings: tuple[Finding, ...]
    error: FreshpgError | None

    @property
    def good(self) -> bool:
        """Whether a test could get its database."""
        return self.error is None and all(one.good is not False for one in self.findings)


def examine(settings: Settings) -> Diagnosis:
    """Look at providers, extensions, places, user, keeper and cache."""
    choice, error = _choose(settings)
    trail: tuple[Attempt, ...] = choice.trail if choice else getattr(error, "trail", ())
    findings = [
        *(Finding("server", one.provider, True if one.taken else None, one.why) for one in trail),
        *(_programs(settings, choice) if choice else ()),
        *_user(choice),
        *_places(),
        *_keepers(),
        _cache(),
        *_health(settings),
    ]
    return Diagnosis(tuple(findings), error)


def _health(settings: Settings) -> Iterator[Finding]:
    """Yield the health of each server of the project that runs, and of what is around."""
    for name, health in healths(settings):
        yield from (Finding.of(f"health of {name}", check) for check in health.checks)
    yield from (Finding.of("health", check) for check in around(settings, None))


def _choose(settings: Settings) -> tuple[Choice | None, FreshpgError | None]:
    try:
        return choose(settings, ask_all=True), None
    except FreshpgError as error:
        return None, error


def _programs(settings: Settings, choice: Choice) -> Iterator[Finding]:
    wanted = sorted(
        {
            name
            for blueprint in settings.databases
            for name in settings.database(blueprint).extensions
        }
    )
    chosen = [choice.binaries] if choice.binaries else []
    for one in (*chosen, *choice.others):
        text = f"PostgreSQL {one.version} in {one.bindir}, {len(one.extensions)} extensions"
        yield Finding("programs", one.origin, None, f"{text}; {_clients(one)}")
    for one in (*chosen, *choice.others):
        if wanted:
            absent = missing(one, wanted)
            taken = one is choice.binaries
            yield Finding(
                "extensions",
                f"{one.origin} {one.version}",
                not absent if taken else None,
                f"has not: {', '.join(absent)}" if absent else f"has all of: {', '.join(wanted)}",
            )


def _clients(one: Binaries) -> str:
    present = [name for name in ("psql", "pg_dump") if os.access(one.program(name), os.X_OK)]
    return f"with {' and '.join(present)}" if present else "without psql"


def _user(choice: Choice | None) -> Iterator[Finding]:
    try:
        chosen = runas.choose()
    except FreshpgError as error:
        yield Finding("user", "PostgreSQL runs as", good=False, text=f"{error.on}: {error.seen}")
        return
    who = f"{chosen.name or 'uid'} {chosen.uid}" if not chosen.is_ourselves else "this user"
    yield Finding("user", "PostgreSQL runs as", good=True, text=who)
    if (
        choice
        and choice.binaries
        and not runas.can_reach(chosen, choice.binaries.program("postgres"))
    ):
        yield Finding(
            "user",
            "programs",
            good=None,
            text=f"{chosen.name or chosen.uid} cannot reach them: a copy is made in the runtime directory",
        )


def _places() -> Iterator[Finding]:
    found = [(root, *_look(root)) for root in storage.runtime_roots()]
    usable = [root for root, _, problem in found if not problem]
    for root, free, problem in found:
        first = usable[:1] == [root]
        use = "data and sockets go here first" if first else "when those before it are full"
        text = problem or f"{free >> 20} MB free; {use}"
        # One that cannot be used only matters when none is left.
        yield Finding(
            "storage", str(root), good=None if usable and not first else not problem, text=text
        )


def _look(root: Path) -> tuple[int, str]:
    """Return the free bytes at a root and why it cannot be used; a missing one is not made."""
    if root.exists() or root.is_symlink():
        problem = storage.problem_of(root)
    else:
        near = next(path for path in root.parents if path.exists())
        problem = "" if os.access(near, os.W_OK | os.X_OK) else f"{near} is not writable"
        root = near
    facts = os.statvfs(root)
    return facts.f_bavail * facts.f_frsize, problem


def _keepers() -> Iterator[Finding]:
    with running_keepers() as keepers:
        for keeper in keepers:
            status = keeper.status()
            text = f"pid {status['pid']}, {len(status['servers'])} servers"
            yield Finding("keeper", str(keeper.root), good=True, text=text)
            for complaint in status["complaints"]:
                yield Finding("keeper", str(keeper.root), good=None, text=complaint)
        if not keepers:
            yield Finding("keeper", "none", good=None, text="none runs; it starts with a server")


def _cache() -> Finding:
    images = image_store().list()
    root = storage.cache_candidates()[0]
    _, problem = _look(root)
    total = sum(image.manifest.pack_bytes for image in images)
    text = f"{problem}; " if problem else ""
    return Finding(
        "cache",
        str(root),
        None if problem else True,
        f"{text}{len(images)} images, {total >> 20} MB",
    )
