"""Two databases in one test: events in one, what readers see in the other."""

from datetime import date

import pytest
from library.loans import Days, Loans, show_shelf

from freshpg.drivers.eventsourcing import wired

MAY = Days(date(2024, 5, 1), date(2024, 5, 31))


# Named, so that both are leased before the test begins, in the order that all tests keep.
@pytest.mark.pg(databases=["main", "eventstore"])
def test_the_shelf_shows_who_has_a_book(pg_databases, pg_data):
    loans = wired(Loans, pg_databases["eventstore"])
    emma, _ = loans.buy("Emma"), loans.buy("Ulysses")
    loans.lend(emma, "ada", MAY)

    with pg_databases["main"].connect() as connection:
        show_shelf(loans, connection)

    pg_data.assert_rows(
        "shelf", [{"title": "Emma", "lent_to": "ada"}, {"title": "Ulysses", "lent_to": None}]
    )


def test_showing_it_again_changes_nothing(pg_databases, pg_data):
    loans = wired(Loans, pg_databases["eventstore"])
    loans.buy("Emma")
    with pg_databases["main"].connect(autocommit=True) as connection:
        show_shelf(loans, connection)
        with pg_data.assert_unchanged("shelf"):
            show_shelf(loans, connection)
