"""Goods and people for tests to start from, committed on a connection of their own."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest


class Goods:
    """Puts rows into the test's database, in the words of the shop."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def product(self, sku: str, *, price: int = 1000, stock: int = 10, **columns: object) -> int:
        """Put a product on sale with so many pieces in stock; return its id."""
        row = {"name": sku.title(), "description": "", "active": True, "category": "books"}
        row |= {"sku": sku, "price": price, **columns}
        (product_id,) = self._connection.execute(
            "INSERT INTO products (sku, name, description, price_cents, active, category_id)"
            " SELECT %(sku)s, %(name)s, %(description)s, %(price)s, %(active)s, id"
            "   FROM categories WHERE slug = %(category)s RETURNING id",
            row,
        ).fetchone()
        self._connection.execute(
            "INSERT INTO stock_levels (product_id, on_hand) VALUES (%s, %s)", (product_id, stock)
        )
        return product_id

    def customer(self, email: str = "ada@example.com", *, country="DE", credit=100_000) -> int:
        """Register a customer; return the id."""
        (customer_id,) = self._connection.execute(
            "INSERT INTO customers (email, name, country_code, credit_limit_cents)"
            " VALUES (%s, %s, %s, %s) RETURNING id",
            (email, email.partition("@")[0].title(), country, credit),
        ).fetchone()
        return customer_id

    def coupon(self, code: str, *, percent=None, amount=None, max_uses=None, during="(,)") -> None:
        """Print a coupon."""
        self._connection.execute(
            "INSERT INTO coupons (code, percent_off, amount_off_cents, max_uses, valid_during)"
            " VALUES (%s, %s, %s, %s, %s)",
            (code, percent, amount, max_uses, during),
        )

    def on_hand(self, sku: str) -> int:
        """Count the pieces on the shelf."""
        (on_hand,) = self._connection.execute(
            "SELECT on_hand FROM stock_levels JOIN products ON id = product_id WHERE sku = %s",
            (sku,),
        ).fetchone()
        return on_hand


@pytest.fixture
def goods(witness) -> Goods:
    """Return something that fills the shelves."""
    return Goods(witness)


@pytest.fixture
def ask(witness) -> Callable[..., object]:
    """Ask the database for one value, on a connection the shop knows nothing of."""

    def value(query: str, *parameters: object) -> object:
        return witness.execute(query, parameters).fetchone()[0]

    return value


@pytest.fixture
def somebody_waits(ask) -> Callable[[], Awaitable[None]]:
    """Wait until a session of this database waits for a lock of another one."""

    async def until_it_does() -> None:
        async with asyncio.timeout(5):
            while not ask(  # noqa: ASYNC110 - the server announces no waiting
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ):
                await asyncio.sleep(0)

    return until_it_does
