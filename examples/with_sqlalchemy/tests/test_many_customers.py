"""Quick tests that are rolled back, though the application commits."""

from decimal import Decimal

import pytest
from invoices import billing
from invoices.models import Customer
from sqlalchemy import func, select

from freshpg.drivers.sqlalchemy import rebind

pytestmark = pytest.mark.pg(isolation="rollback")


@pytest.mark.parametrize("amount", range(1, 6))
def test_the_application_commits_and_nothing_stays(pg, pg_session, amount):
    with rebind(billing.Session, pg):
        assert billing.bill("Ada", Decimal(amount)) == 1

        assert billing.owed("Ada") == amount
    assert pg_session.scalar(select(func.count()).select_from(Customer)) == 1


async def test_an_asynchronous_session_sees_it_too(pg, pg_asession):
    with rebind(billing.Session, pg):
        billing.bill("Ada", Decimal(5))

    customer = (await pg_asession.scalars(select(Customer))).one()
    assert customer.name == "Ada"
