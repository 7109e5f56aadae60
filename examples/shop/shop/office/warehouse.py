"""Pieces on the shelf: deliveries, losses, and moving between articles."""

from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from shop.errors import NotFoundError, OutOfStockError
from shop.models import Product, StockLevel
from shop.retry import retrying, sqlstate

CHECK_VIOLATION = "23514"


def receive(session: Session, delivery: Mapping[str, int]) -> None:
    """Put a delivery on the shelf: pieces by SKU.

    :raises NotFoundError: the shop has no such product; nothing of the delivery is booked.
    """
    for sku, quantity in sorted(delivery.items()):
        change_on_hand(session, sku, quantity)


def write_off(session: Session, sku: str, quantity: int) -> None:
    """Take broken or lost pieces out of the books.

    :raises OutOfStockError: fewer are on hand, or the rest is reserved.
    """
    try:
        change_on_hand(session, sku, -quantity)
    except IntegrityError as error:
        if sqlstate(error) != CHECK_VIOLATION:
            raise
        raise OutOfStockError(sku) from error


def count(session: Session, sku: str) -> int:
    """Return the pieces on the shelf, reserved ones included."""
    return session.execute(
        select(StockLevel.on_hand)
        .join(Product, Product.id == StockLevel.product_id)
        .where(Product.sku == sku)
    ).scalar_one()


def repack(sessions: sessionmaker[Session], source: str, target: str, quantity: int) -> None:
    """Turn pieces of one article into pieces of another, such as singles into a bundle.

    Two people repacking in opposite directions lock the same rows in opposite order;
    PostgreSQL ends one of them, whose work is then done again.

    :raises OutOfStockError: fewer are on hand, or the rest is reserved.
    """

    def work() -> None:
        with sessions.begin() as session:
            write_off(session, source, quantity)
            change_on_hand(session, target, quantity)

    retrying(work)


def change_on_hand(session: Session, sku: str, difference: int) -> None:
    """Add to the pieces on hand, or take away from them."""
    product_id = select(Product.id).where(Product.sku == sku).scalar_subquery()
    changed = session.scalar(
        update(StockLevel)
        .where(StockLevel.product_id == product_id)
        .values(on_hand=StockLevel.on_hand + difference)
        .returning(StockLevel.product_id)
        .execution_options(synchronize_session=False)
    )
    if changed is None:
        raise NotFoundError("product in stock", sku)
