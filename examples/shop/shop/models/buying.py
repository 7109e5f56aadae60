"""Who buys, what is in the cart, and what makes it cheaper."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, String, func, text
from sqlalchemy.dialects.postgresql import TSTZRANGE, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.models.base import Base
from shop.models.catalog import Product


class Customer(Base):
    """Somebody with an e-mail address, compared without regard to case."""

    __tablename__ = "customers"
    __table_args__ = (
        Index("uq_customers_email", func.lower(text("email")), unique=True),
        CheckConstraint("credit_limit_cents >= 0", name="credit_limit_not_negative"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    country_code: Mapped[str] = mapped_column(String(2), ForeignKey("countries.code"))
    credit_limit_cents: Mapped[int] = mapped_column(server_default=text("100000"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Cart(Base):
    """What a customer means to buy."""

    __tablename__ = "carts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    customer_id: Mapped[int] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    customer: Mapped[Customer] = relationship()
    lines: Mapped[list["CartLine"]] = relationship(
        order_by="CartLine.product_id", cascade="all, delete-orphan", passive_deletes=True
    )


class CartLine(Base):
    """So many pieces of one product."""

    __tablename__ = "cart_lines"
    __table_args__ = (CheckConstraint("quantity BETWEEN 1 AND 99", name="quantity_sensible"),)

    cart_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("carts.id", ondelete="CASCADE"), primary_key=True
    )
    product_id: Mapped[int] = mapped_column(
        ForeignKey("products.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    quantity: Mapped[int] = mapped_column(Integer)

    product: Mapped[Product] = relationship()


class Coupon(Base):
    """Either so many percent off or a fixed amount, never both."""

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("code = upper(code)", name="code_upper_case"),
        CheckConstraint("percent_off BETWEEN 1 AND 100", name="percent_sensible"),
        CheckConstraint("num_nonnulls(percent_off, amount_off_cents) = 1", name="one_kind"),
        CheckConstraint("used <= max_uses", name="not_overused"),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    percent_off: Mapped[int | None] = mapped_column(Integer)
    amount_off_cents: Mapped[int | None]
    valid_during: Mapped[Range[datetime]] = mapped_column(
        TSTZRANGE, server_default=text("'(,)'::tstzrange")
    )
    max_uses: Mapped[int | None] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class CouponRedemption(Base):
    """A customer used a coupon, once."""

    __tablename__ = "coupon_redemptions"

    coupon_code: Mapped[str] = mapped_column(
        ForeignKey("coupons.code", ondelete="RESTRICT"), primary_key=True
    )
    customer_id: Mapped[int] = mapped_column(
        ForeignKey("customers.id", ondelete="RESTRICT"), primary_key=True
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), unique=True)
