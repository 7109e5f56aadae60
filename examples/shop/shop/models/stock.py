"""How many pieces lie on the shelf, and how many of them are promised."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shop.models.base import Base


class StockLevel(Base):
    """One row a product. A trigger on the reservations keeps ``reserved``."""

    __tablename__ = "stock_levels"
    __table_args__ = (
        CheckConstraint("reserved >= 0", name="reserved_not_negative"),
        CheckConstraint("reserved <= on_hand", name="enough_on_hand"),
    )

    product_id: Mapped[int] = mapped_column(
        ForeignKey("products.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    on_hand: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))


class StockReservation(Base):
    """Pieces kept for somebody until a point in time."""

    __tablename__ = "stock_reservations"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    product_id: Mapped[int] = mapped_column(
        ForeignKey("stock_levels.product_id", ondelete="CASCADE"), index=True
    )
    quantity: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)
