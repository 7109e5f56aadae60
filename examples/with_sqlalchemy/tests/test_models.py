"""Models, on a session that commits."""

from decimal import Decimal

import pytest
from invoices.models import Customer, Invoice
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError


@pytest.mark.parametrize("name", ["Ada", "Bob"])
def test_what_is_committed_can_be_read_again(pg_session, pg_session_factory, name):
    pg_session.add(Customer(name=name, invoices=[Invoice(amount=Decimal(5))]))
    pg_session.commit()

    with pg_session_factory() as other:
        customer = other.scalars(select(Customer)).one()
        assert (customer.id, customer.name) == (1, name)
        assert [invoice.paid for invoice in customer.invoices] == [0]


def test_nobody_pays_more_than_is_owed(pg_session):
    invoice = Invoice(customer=Customer(name="Ada"), amount=Decimal(5), paid=Decimal(6))
    pg_session.add(invoice)

    with pytest.raises(IntegrityError):
        pg_session.commit()
