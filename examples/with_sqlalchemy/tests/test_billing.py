"""The application, on sessions of its own that lead to the test's database."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from invoices import billing

from freshpg.drivers.sqlalchemy import rebind


@pytest.fixture(autouse=True)
def _billing_on_the_test_database(pg):
    with rebind(billing.Session, pg):
        yield


def test_what_is_paid_is_not_owed():
    number = billing.bill("Ada", Decimal(10))
    billing.pay(number, Decimal(4))

    assert billing.owed("Ada") == 6


def test_payments_at_the_same_time_are_all_counted():
    number = billing.bill("Ada", Decimal(10))
    with ThreadPoolExecutor(4) as customers:
        list(customers.map(lambda _: billing.pay(number, Decimal(1)), range(10)))

    assert billing.owed("Ada") == 0
