"""What the shop sells, at which price, and where it sends it to."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSTZRANGE, TSVECTOR, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.models.base import Base

SEARCH_VECTOR = (
    "setweight(to_tsvector('english', name), 'A') || "
    "setweight(to_tsvector('english', description), 'B')"
)


class Country(Base):
    """Reference data, seeded by a migration."""

    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]
    vat_rate: Mapped[Decimal] = mapped_column(Numeric(4, 3))


class ShippingMethod(Base):
    """Reference data, seeded by a migration."""

    __tablename__ = "shipping_methods"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    price_cents: Mapped[int]
    free_from_cents: Mapped[int | None]


class Category(Base):
    """A node of the category tree."""

    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(
        ForeignKey("categories.id", ondelete="CASCADE"), index=True
    )


class Product(Base):
    """Something to buy."""

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("price_cents > 0", name="price_positive"),
        Index("ix_products_search", "search", postgresql_using="gin"),
        Index("ix_products_category_id_id", "category_id", "id", postgresql_where=text("active")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    sku: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    price_cents: Mapped[int]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    category_id: Mapped[int] = mapped_column(ForeignKey("categories.id", ondelete="RESTRICT"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    search: Mapped[str] = mapped_column(
        TSVECTOR, Computed(SEARCH_VECTOR, persisted=True), deferred=True
    )

    category: Mapped[Category] = relationship()


class PricePeriod(Base):
    """A special price for a while; periods of one product never overlap."""

    __tablename__ = "price_periods"
    __table_args__ = (
        CheckConstraint("price_cents > 0", name="price_positive"),
        ExcludeConstraint(
            (text("int8range(product_id, product_id, '[]')"), "&&"),
            ("during", "&&"),
            name="ex_price_periods_overlap",
            using="gist",
        ),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    price_cents: Mapped[int]
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
