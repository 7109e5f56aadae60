"""What the owner looks at in the morning."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Date, case, column, func, select, table, text
from sqlalchemy.orm import Session

from shop.models import (
    AuditEntry,
    Category,
    Customer,
    Order,
    OrderLine,
    OrderStatus,
    Product,
    StockLevel,
)

SOLD = (OrderStatus.PLACED, OrderStatus.PAID)
DAILY_SALES = table(
    "daily_sales",
    column("day", Date),
    column("country_code"),
    column("orders"),
    column("total_cents"),
)


@dataclass(frozen=True)
class DaySales:
    """One day in one country."""

    day: date
    country: str
    orders: int
    total_cents: int


@dataclass(frozen=True)
class Bestseller:
    """A product with its rank; products that sold the same share a rank."""

    rank: int
    sku: str
    sold: int


def refresh_daily_sales(session: Session) -> None:
    """Bring the daily sales up to date; readers see the old ones until it is done."""
    session.execute(text("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales"))


def daily_sales(session: Session) -> list[DaySales]:
    """Return the sales by day and country, as of the last refresh."""
    rows = session.execute(select(DAILY_SALES).order_by("day", "country_code"))
    return [DaySales(*row) for row in rows]


def bestsellers(session: Session, limit: int = 10) -> list[Bestseller]:
    """Return what sold most, cancelled and refunded orders left out."""
    sold = func.sum(OrderLine.quantity)
    rows = session.execute(
        select(func.rank().over(order_by=sold.desc()), Product.sku, sold)
        .join(OrderLine, OrderLine.product_id == Product.id)
        .join(Order, Order.id == OrderLine.order_id)
        .where(Order.status.in_(SOLD))
        .group_by(Product.sku)
        .order_by(sold.desc(), Product.sku)
        .limit(limit)
    )
    return [Bestseller(*row) for row in rows]


def revenue_by_top_category(session: Session) -> dict[str, int]:
    """Return cents by root of the category tree: a crime novel counts as a book."""
    roots = (
        select(Category.id, Category.slug.label("root"))
        .where(Category.parent_id.is_(None))
        .cte("roots", recursive=True)
    )
    roots = roots.union_all(
        select(Category.id, roots.c.root).join(roots, Category.parent_id == roots.c.id)
    )
    rows = session.execute(
        select(roots.c.root, func.sum(OrderLine.quantity * OrderLine.unit_price_cents))
        .join(Product, Product.category_id == roots.c.id)
        .join(OrderLine, OrderLine.product_id == Product.id)
        .join(Order, Order.id == OrderLine.order_id)
        .where(Order.status.in_(SOLD))
        .group_by(roots.c.root)
    )
    return {root: int(cents) for root, cents in rows}


def open_balances(session: Session) -> dict[str, int]:
    """Return what each customer owes, in cents, by e-mail; who owes nothing is left out."""
    rows = session.execute(
        select(Customer.email, func.sum(Order.total_cents))
        .join(Order, Order.customer_id == Customer.id)
        .where(Order.status == OrderStatus.PLACED)
        .group_by(Customer.email)
    )
    return {email: int(cents) for email, cents in rows}


def running_low(session: Session, below: int) -> list[str]:
    """Return the SKUs on sale of which fewer than so many are free to sell."""
    return list(
        session.scalars(
            select(Product.sku)
            .join(StockLevel, StockLevel.product_id == Product.id)
            .where(Product.active, StockLevel.on_hand - StockLevel.reserved < below)
            .order_by(Product.sku)
        )
    )


def refund_rate(session: Session) -> float:
    """Return the share of paid orders that were refunded later, 0.0 without any."""
    refunded = func.sum(case((Order.status == OrderStatus.REFUNDED, 1), else_=0))
    rate = session.scalar(
        select(refunded / func.nullif(func.count() * 1.0, 0)).where(
            Order.status.in_((OrderStatus.PAID, OrderStatus.REFUNDED))
        )
    )
    return float(rate or 0.0)


def changes_of(session: Session, table_name: str, row_key: str) -> Sequence[AuditEntry]:
    """Return every change of a row, oldest first."""
    return session.scalars(
        select(AuditEntry)
        .where(AuditEntry.table_name == table_name, AuditEntry.row_key == row_key)
        .order_by(AuditEntry.id)
    ).all()
