"""Orders and the money that moves for them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, String, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.models.base import Base
from shop.models.catalog import Product


class OrderStatus(StrEnum):
    """The life of an order."""

    PLACED = "placed"
    PAID = "paid"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Order(Base):
    """What was bought at which price; the prices are copied, never looked up again."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(
            "total_cents = subtotal_cents - discount_cents + shipping_cents", name="total_adds_up"
        ),
        CheckConstraint("discount_cents BETWEEN 0 AND subtotal_cents", name="discount_sensible"),
        CheckConstraint("status IN ('placed', 'paid', 'cancelled', 'refunded')", name="status"),
        Index("ix_orders_customer_id_id", "customer_id", "id"),
        Index("ix_orders_unpaid", "customer_id", postgresql_where=text("status = 'placed'")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    number: Mapped[str] = mapped_column(unique=True, server_default=text("next_order_number()"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="RESTRICT"))
    country_code: Mapped[str] = mapped_column(String(2), ForeignKey("countries.code"))
    shipping_code: Mapped[str] = mapped_column(ForeignKey("shipping_methods.code"))
    subtotal_cents: Mapped[int]
    discount_cents: Mapped[int] = mapped_column(server_default=text("0"))
    shipping_cents: Mapped[int]
    vat_cents: Mapped[int]
    total_cents: Mapped[int]
    status: Mapped[str] = mapped_column(server_default="placed")
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())

    lines: Mapped[list["OrderLine"]] = relationship(
        order_by="OrderLine.position", cascade="all, delete-orphan", passive_deletes=True
    )


class OrderLine(Base):
    """So many pieces at the price of that day."""

    __tablename__ = "order_lines"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)

    order_id: Mapped[int] = mapped_column(
        ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    product_id: Mapped[int] = mapped_column(
        ForeignKey("products.id", ondelete="RESTRICT"), index=True
    )
    quantity: Mapped[int] = mapped_column(Integer)
    unit_price_cents: Mapped[int]

    product: Mapped[Product] = relationship()


class Payment(Base):
    """Money that came in."""

    __tablename__ = "payments"
    __table_args__ = (CheckConstraint("amount_cents > 0", name="amount_positive"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"), index=True)
    amount_cents: Mapped[int]
    provider_reference: Mapped[str] = mapped_column(unique=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Refund(Base):
    """Money that went back. A deferred trigger keeps the sum below what came in."""

    __tablename__ = "refunds"
    __table_args__ = (CheckConstraint("amount_cents > 0", name="amount_positive"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"), index=True)
    amount_cents: Mapped[int]
    reason: Mapped[str]
    refunded_at: Mapped[datetime] = mapped_column(server_default=func.now())
