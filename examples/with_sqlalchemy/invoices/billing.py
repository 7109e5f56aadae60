"""What the application does; each function is a transaction of its own."""

from decimal import Decimal

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import sessionmaker

from invoices.models import Customer, Invoice

Session = sessionmaker(create_engine("postgresql+psycopg://billing@db.invalid/billing"))


def bill(name: str, amount: Decimal) -> int:
    """Write an invoice and return its number; a customer that is not known yet becomes one."""
    with Session.begin() as session:
        customer = session.scalar(select(Customer).filter_by(name=name)) or Customer(name=name)
        invoice = Invoice(customer=customer, amount=amount)
        session.add(invoice)
        session.flush()
        return invoice.id


def pay(number: int, amount: Decimal) -> None:
    """Take a payment."""
    with Session.begin() as session:
        session.get_one(Invoice, number, with_for_update=True).paid += amount


def owed(name: str) -> Decimal:
    """Return what a customer still owes."""
    due = func.coalesce(func.sum(Invoice.amount - Invoice.paid), 0)
    with Session() as session:
        return session.scalars(select(due).join(Customer).where(Customer.name == name)).one()
