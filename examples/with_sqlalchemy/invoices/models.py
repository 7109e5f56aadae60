"""Tables."""

from decimal import Decimal

from sqlalchemy import CheckConstraint, Engine, ForeignKey, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """All tables."""


class Customer(Base):
    """Somebody who owes."""

    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    invoices: Mapped[list["Invoice"]] = relationship(back_populates="customer")


class Invoice(Base):
    """What somebody owes."""

    __tablename__ = "invoice"
    __table_args__ = (CheckConstraint("paid <= amount"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    paid: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(0))
    customer: Mapped[Customer] = relationship(back_populates="invoices")


def create_all(engine: Engine) -> None:
    """Make the tables."""
    Base.metadata.create_all(engine)
