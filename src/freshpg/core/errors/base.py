"""What every error is: a code and a title that never change, what failed, on what, what was seen, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from freshpg.core.printable import plain
from freshpg.core.redaction import redact_forms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Origin = Literal["ours", "yours", "infrastructure"]


class FreshpgError(Exception):
    """Base of all errors of freshpg.

    Args:
        failed: What was being done and failed, in one sentence.
        on: The object it failed on.
        seen: What was found instead of what was needed; may have several lines.
        todo: What to do about it, most likely remedy first.
        data: Facts for programs; each becomes an attribute.
    """

    code: ClassVar[str] = "FPG-000"
    title: ClassVar[str] = "freshpg failed"
    origin: ClassVar[Origin] = "ours"

    def __init__(
        self,
        failed: str = "",
        *,
        on: str = "",
        seen: str = "",
        todo: Sequence[str] = (),
        **data: Any,
    ) -> None:
        # Here, and not where it is shown: an error is also pickled, logged and printed with its attributes.
        self.failed = redact_forms(failed)
        super().__init__(self.failed)
        self.on = redact_forms(on)
        self.seen = redact_forms(seen)
        self.todo = tuple(todo)
        self.data = {
            key: redact_forms(value) if isinstance(value, str) else value
            for key, value in data.items()
        }
        for key, value in self.data.items():
            # A fact named like a part of the error (origin, title, args) is in ``data`` only.
            if not hasattr(type(self), key):
                setattr(self, key, value)

    def __str__(self) -> str:
        return plain("\n".join(self._lines()))

    def __reduce__(self) -> tuple[Any, ...]:
        # xdist and multiprocessing send exceptions by pickle; keyword arguments need help there.
        facts = (type(self), self.failed, self.on, self.seen, self.todo, self.data)
        notes = getattr(self, "__notes__", None)
        return (_rebuild, facts, {"__notes__": notes}) if notes else (_rebuild, facts)

    @property
    def headline(self) -> str:
        """Code and title: stable, searchable."""
        return f"{self.code} {self.title}"

    def to_json(self) -> dict[str, Any]:
        """Return the same facts as data, for ``--json``."""
        return {
            "code": self.code,
            "title": self.title,
            "origin": self.origin,
            "what": self.failed,
            "on": self.on,
            "seen": self.seen,
            "do": list(self.todo),
        }

    def _lines(self) -> Iterator[str]:
        yield self.headline
        for label, text in (("what", self.failed), ("on", self.on), ("seen", self.seen)):
            yield from _block(label, text)
        if len(self.todo) == 1:
            yield from _block("do", self.todo[0])
        else:
            steps = [f"{number}. {step}" for number, step in enumerate(self.todo, 1)]
            yield from _block("do", "\n".join(steps))


def _block(label: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines()):
        yield f"  {label + ':' if number == 0 else '':<6}{line}"


def _rebuild(  # noqa: PLR0917 (pickle passes positions)
    cls: type[FreshpgError],
    failed: str,
    on: str,
    seen: str,
    todo: tuple[str, ...],
    data: dict[str, Any],
) -> FreshpgError:
    return cls(failed, on=on, seen=seen, todo=todo, **data)


def all_errors() -> tuple[type[FreshpgError], ...]:
    """Return every error class, base first, in the order of the tree."""
    found: list[type[FreshpgError]] = []

    def walk(cls: type[FreshpgError]) -> None:
        found.append(cls)
        for child in cls.__subclasses__():
            walk(child)

    walk(FreshpgError)
    return tuple(found)
