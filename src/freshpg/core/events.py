"""What happened, as data. Engines emit events and know nothing of who listens."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("freshpg")


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; those about failures are ``logged``: they belong in the log of errors."""

    logged: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Something slow goes on; ``text`` is one line for a person."""

    text: str


@dataclass(frozen=True, slots=True)
class ServerReady(Event):
    """A server answers; ``how`` is ``warm``, ``image``, ``initdb`` or ``url``."""

    provider: str
    version: str
    how: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class TemplateReady(Event):
    """A template exists; ``how`` is ``reused``, ``layered`` or ``built``."""

    blueprint: str
    fingerprint: str
    how: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CloneMade(Event):
    """A clone was made, in the background or while somebody waited."""

    database: str
    seconds: float
    waited_for: bool


@dataclass(frozen=True, slots=True)
class DatabaseHandedOut(Event):
    """A test got its database after ``seconds``."""

    blueprint: str
    database: str
    isolation: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DatabaseKept(Event):
    """A database was left for inspection."""

    database: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChildCrashed(Event):
    """Something a run needs ended unasked; ``child`` is ``keeper``, ``postmaster``, ``server``, ``lease`` or ``stock``."""

    logged: ClassVar[bool] = True
    child: str
    seen: str


@dataclass(frozen=True, slots=True)
class ChildRestarted(Event):
    """It is up again, ``seconds`` after its end was seen."""

    logged: ClassVar[bool] = True
    child: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ResetConflict(Event):
    """A reset and a session of the application waited for each other; the reset gave way and is tried again."""

    logged: ClassVar[bool] = True
    database: str
    seen: str


@dataclass(slots=True)
class Bus:
    """Hands each event to every subscriber; one that fails is logged and never fails a test."""

    subscribers: list[Callable[[Event], None]] = field(default_factory=list)

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Call ``subscriber`` with every event from now on."""
        self.subscribers.append(subscriber)

    def emit(self, event: Event) -> None:
        """Tell every subscriber."""
        for subscriber in tuple(self.subscribers):
            try:
                subscriber(event)
            except Exception:
                logger.exception("a subscriber failed on %s", event)
