"""One suite, two stores."""

from datetime import date

import pytest
from eventsourcing.persistence import IntegrityError
from library.loans import AlreadyLent, Book, Days, Loans

from freshpg.drivers.eventsourcing import assert_roundtrip

MAY = Days(date(2024, 5, 1), date(2024, 5, 31))


def test_a_lent_book_is_with_its_reader(loans):
    book = loans.buy("Emma")
    loans.lend(book, "ada", MAY)

    assert loans.reader_of(book) == "ada"


def test_a_book_is_lent_once(loans):
    book = loans.buy("Emma")
    loans.lend(book, "ada", MAY)

    with pytest.raises(AlreadyLent, match="ada"):
        loans.lend(book, "bob", MAY)


def test_two_desks_do_not_lend_the_same_book(loans):
    book_id = loans.buy("Emma")
    here, there = loans.repository.get(book_id), loans.repository.get(book_id)
    here.lend("ada", MAY)
    there.lend("bob", MAY)
    loans.save(here)

    with pytest.raises(IntegrityError):
        loans.save(there)


def test_every_test_begins_with_no_events(loans):
    assert loans.notification_log.select(start=1, limit=10) == []
    loans.buy("Emma")


def test_events_are_stored_without_loss():
    book = Book("Emma")
    book.lend("ada", MAY)
    book.give_back()

    for event in book.collect_events():
        assert_roundtrip(event, Loans)
