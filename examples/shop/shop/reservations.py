"""Keeping stock for somebody for a while: asyncpg directly, many short transactions."""

import uuid
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from shop.errors import NotFoundError, OutOfStockError


@dataclass(frozen=True)
class Reservation:
    """Pieces kept until a point in time."""

    id: uuid.UUID
    sku: str
    quantity: int
    expires_at: datetime


class Reservations:
    """Makes, ends and collects reservations. Every time is given, none is looked up."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def reserve(self, sku: str, quantity: int, until: datetime) -> Reservation:
        """Keep so many pieces.

        The database decides: a trigger adds the reservation to the stock level, whose
        constraint refuses more than is on hand, however many ask at once.

        :raises OutOfStockError: fewer are left.
        :raises NotFoundError: the shop has no such product in stock.
        """
        try:
            reservation_id = await self._pool.fetchval(
                "INSERT INTO stock_reservations (product_id, quantity, expires_at)"
                " SELECT product_id, $2, $3 FROM stock_levels"
                "   JOIN products ON products.id = product_id WHERE sku = $1"
                " RETURNING id",
                sku,
                quantity,
                until,
            )
        except asyncpg.CheckViolationError as error:
            if error.constraint_name != "ck_stock_levels_enough_on_hand":
                raise
            raise OutOfStockError(sku) from error
        if reservation_id is None:
            raise NotFoundError("product in stock", sku)
        return Reservation(reservation_id, sku, quantity, until)

    async def release(self, reservation_id: uuid.UUID) -> bool:
        """Give the pieces free again; tell whether there was anything to free."""
        status = await self._pool.execute(
            "DELETE FROM stock_reservations WHERE id = $1", reservation_id
        )
        return status == "DELETE 1"

    async def hand_over(self, reservation_id: uuid.UUID) -> None:
        """The customer takes the pieces: they leave the shelf and the reservation ends.

        :raises NotFoundError: it has ended before.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                "DELETE FROM stock_reservations WHERE id = $1 RETURNING product_id, quantity",
                reservation_id,
            )
            if row is None:
                raise NotFoundError("reservation", reservation_id)
            await connection.execute(
                "UPDATE stock_levels SET on_hand = on_hand - $2 WHERE product_id = $1",
                row["product_id"],
                row["quantity"],
            )

    async def expire(self, now: datetime, batch: int = 100) -> int:
        """End up to a batch of what is over; return how many.

        Reservations another worker is ending right now are passed over, not waited for, and
        come in the order of products, so that workers do not deadlock on stock levels.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            ids = await connection.fetch(
                "SELECT id FROM stock_reservations WHERE expires_at <= $1"
                " ORDER BY product_id, expires_at LIMIT $2 FOR UPDATE SKIP LOCKED",
                now,
                batch,
            )
            await connection.executemany("DELETE FROM stock_reservations WHERE id = $1", ids)
            return len(ids)

    async def available(self, sku: str) -> int:
        """Return how many could be reserved now; 0 for what the shop does not have."""
        available: int | None = await self._pool.fetchval(
            "SELECT on_hand - reserved FROM stock_levels"
            " JOIN products ON products.id = product_id WHERE sku = $1",
            sku,
        )
        return available or 0
