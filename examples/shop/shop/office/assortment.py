"""What is for sale, at which price."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shop.errors import NotFoundError, PriceOverlapError
from shop.models import Category, PricePeriod, Product, StockLevel
from shop.retry import sqlstate

EXCLUSION_VIOLATION = "23P01"


@dataclass(frozen=True)
class NewProduct:
    """A product as its supplier describes it."""

    sku: str
    name: str
    price_cents: int
    category: str
    description: str = ""


def add_product(session: Session, new: NewProduct) -> Product:
    """Put a product on sale, with nothing in stock yet.

    :raises NotFoundError: there is no such category.
    """
    category = session.scalar(select(Category).where(Category.slug == new.category))
    if category is None:
        raise NotFoundError("category", new.category)
    product = Product(
        sku=new.sku,
        name=new.name,
        description=new.description,
        price_cents=new.price_cents,
        category=category,
    )
    session.add(product)
    session.flush()
    session.add(StockLevel(product_id=product.id))
    session.flush()
    return product


def find_product(session: Session, sku: str) -> Product:
    """Return a product.

    :raises NotFoundError: there is none with this SKU.
    """
    product = session.scalar(select(Product).where(Product.sku == sku))
    if product is None:
        raise NotFoundError("product", sku)
    return product


def schedule_price(
    session: Session, sku: str, price_cents: int, start: datetime, end: datetime
) -> PricePeriod:
    """Sell a product at a special price from ``start`` up to, not including, ``end``.

    :raises PriceOverlapError: it has another special price at some time in between.
    """
    period = PricePeriod(
        product_id=find_product(session, sku).id,
        price_cents=price_cents,
        during=Range(start, end, bounds="[)"),
    )
    session.add(period)
    try:
        session.flush()
    except IntegrityError as error:
        if sqlstate(error) != EXCLUSION_VIOLATION:
            raise
        message = f"{sku} has another special price between {start} and {end}"
        raise PriceOverlapError(message) from error
    return period


def import_prices(connection: Connection, prices: Iterable[tuple[str, int]]) -> list[str]:
    """Set the prices of a supplier's list in one go; return the SKUs the shop does not know.

    The list may be long, so it comes by COPY into a table that lasts as long as the
    transaction. Either every price changes or none.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE price_list (sku text PRIMARY KEY, price_cents bigint)"
            " ON COMMIT DROP"
        )
        with cursor.copy("COPY price_list FROM STDIN") as copy:
            for row in prices:
                copy.write_row(row)
        cursor.execute(
            "UPDATE products SET price_cents = price_list.price_cents"
            "  FROM price_list WHERE products.sku = price_list.sku"
        )
        unknown = cursor.execute(
            "SELECT sku FROM price_list WHERE sku NOT IN (SELECT sku FROM products) ORDER BY sku"
        )
        return [sku for (sku,) in unknown]
