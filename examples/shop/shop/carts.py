"""Putting things into a cart and taking them out again."""

import uuid
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from shop import catalog, customers
from shop.errors import NotFoundError
from shop.models import Cart, CartLine, Product


async def open_cart(session: AsyncSession, customer_id: int) -> Cart:
    """Give a customer an empty cart.

    :raises NotFoundError: there is no such customer.
    """
    cart = Cart(customer=await customers.find(session, customer_id))
    session.add(cart)
    await session.flush()
    return cart


async def find(session: AsyncSession, cart_id: uuid.UUID) -> Cart:
    """Return a cart with its customer.

    :raises NotFoundError: it never was, or has been bought.
    """
    cart = await session.get(Cart, cart_id, options=[joinedload(Cart.customer)])
    if cart is None:
        raise NotFoundError("cart", cart_id)
    return cart


async def put(session: AsyncSession, cart: Cart, sku: str, quantity: int) -> None:
    """Have so many of a product in the cart, whatever was there before.

    :raises NotFoundError: no such product is on sale.
    """
    product = await session.scalar(catalog.one_product(sku).where(Product.active))
    if product is None:
        raise NotFoundError("product", sku)
    line = insert(CartLine).values(cart_id=cart.id, product_id=product.id, quantity=quantity)
    await session.execute(
        line.on_conflict_do_update(
            index_elements=[CartLine.cart_id, CartLine.product_id],
            set_={"quantity": line.excluded.quantity},
        )
    )


async def take_out(session: AsyncSession, cart: Cart, sku: str) -> None:
    """Remove a product from the cart; removing what is not there changes nothing."""
    product_id = select(Product.id).where(Product.sku == sku).scalar_subquery()
    await session.execute(
        delete(CartLine).where(CartLine.cart_id == cart.id, CartLine.product_id == product_id)
    )


async def priced_lines(session: AsyncSession, cart: Cart) -> Sequence[tuple[Product, int, int]]:
    """Return (product, quantity, price of one in cents) of every line, by product id.

    Everybody who locks products goes through them in this order, so no two carts can wait for
    each other.
    """
    price = catalog.current_price_cents().scalar_subquery()
    rows = await session.execute(
        select(Product, CartLine.quantity, price)
        .join(CartLine, CartLine.product_id == Product.id)
        .where(CartLine.cart_id == cart.id)
        .order_by(Product.id)
    )
    return [(product, quantity, cents) for product, quantity, cents in rows]
