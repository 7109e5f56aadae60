"""Books and their loans, an event each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Transcoding

if TYPE_CHECKING:
    from eventsourcing.persistence import JSONTranscoder


@dataclass(frozen=True)
class Days:
    """A span of days, the last one included."""

    first: date
    last: date


class DaysAsText(Transcoding):
    """How a span of days stands in a stored event."""

    type = Days
    name = "days"

    def encode(self, obj: Days) -> str:
        return f"{obj.first}/{obj.last}"

    def decode(self, data: str) -> Days:
        first, last = data.split("/")
        return Days(date.fromisoformat(first), date.fromisoformat(last))


class AlreadyLent(Exception):
    """The book is with somebody else."""


class Book(Aggregate):
    """One copy of a book."""

    @event("Bought")
    def __init__(self, title: str) -> None:
        self.title = title
        self.reader = ""

    def lend(self, reader: str, days: Days) -> None:
        """Hand it out."""
        if self.reader:
            raise AlreadyLent(self.reader)
        self._lend(reader, days)

    @event("Lent")
    def _lend(self, reader: str, days: Days) -> None:
        self.reader = reader

    @event("Returned")
    def give_back(self) -> None:
        """Take it back."""
        self.reader = ""


class Loans(Application[UUID]):
    """What the library does."""

    def register_transcodings(self, transcoder: JSONTranscoder) -> None:
        super().register_transcodings(transcoder)
        transcoder.register(DaysAsText())

    def buy(self, title: str) -> UUID:
        book = Book(title)
        self.save(book)
        return book.id

    def lend(self, book_id: UUID, reader: str, days: Days) -> None:
        book = self.repository.get(book_id)
        book.lend(reader, days)
        self.save(book)

    def give_back(self, book_id: UUID) -> None:
        book = self.repository.get(book_id)
        book.give_back()
        self.save(book)

    def reader_of(self, book_id: UUID) -> str:
        return str(self.repository.get(book_id).reader)


def show_shelf(loans: Loans, connection: Any) -> None:
    """Bring the table that readers see up to date."""
    for notification in loans.recorder.select_notifications(start=1, limit=1000):
        book = loans.repository.get(notification.originator_id)
        connection.execute(
            "INSERT INTO shelf (book, title, lent_to) VALUES (%s, %s, %s)"
            " ON CONFLICT (book) DO UPDATE SET lent_to = excluded.lent_to",
            (book.id, book.title, book.reader or None),
        )
