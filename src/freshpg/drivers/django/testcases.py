"""The seam in Django's test cases: where a ``TransactionTestCase`` flushes, its databases are reset.

``TestCase`` keeps its own way, a transaction that is rolled back: it overrides what is replaced here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.test import TransactionTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Resettable(Protocol):
    """What the seam needs of the databases of a run."""

    def reset(self, aliases: Iterable[str]) -> None:
        """Make the databases behind these aliases equal to their templates."""

    def close_connections(self) -> None:
        """Let Django connect anew in the next test."""


def reset_instead_of_flush(databases: Resettable) -> Callable[[], None]:
    """Reset before and after each ``TransactionTestCase``; return what undoes this.

    Before: a ``TestCase`` moved sequences, or its threads committed. After: a ``TestCase`` may follow. What is replaced
    stands in https://github.com/django/django/blob/stable/5.2.x/django/test/testcases.py, class
    ``TransactionTestCase``.
    """
    seams = (
        "_fixture_setup",
        "_fixture_teardown",
        "_reset_sequences",
        "_should_reload_connections",
    )
    before = {name: TransactionTestCase.__dict__[name] for name in seams}
    set_up = before["_fixture_setup"].__func__

    def _fixture_setup(cls: type[Any]) -> None:
        databases.reset(cls._databases_names(include_mirrors=False))
        set_up(cls)

    def _fixture_teardown(self: Any) -> None:
        databases.reset(self._databases_names(include_mirrors=False))

    def _reset_sequences(db_name: str) -> None:
        """Do nothing: the reset has put sequences back, and rows of data migrations keep their numbers."""

    def _should_reload_connections(_: Any) -> bool:
        databases.close_connections()
        return False

    TransactionTestCase._should_reload_connections = _should_reload_connections
    TransactionTestCase._fixture_setup = classmethod(_fixture_setup)
    TransactionTestCase._fixture_teardown = _fixture_teardown
    TransactionTestCase._reset_sequences = staticmethod(_reset_sequences)

    def undo() -> None:
        for name, value in before.items():
            setattr(TransactionTestCase, name, value)

    return undo
