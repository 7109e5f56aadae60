"""Carts, up to the moment they become orders."""

import uuid
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header
from sqlalchemy.ext.asyncio import AsyncSession

from shop import carts, checkout, idempotency
from shop.api.schemas import CartLineOut, CartOut, NewCart, OrderOut, Purchase, Quantity
from shop.api.transactions import InTransaction
from shop.idempotency import Answer

router = APIRouter(prefix="/carts")


@router.post("", status_code=HTTPStatus.CREATED)
async def open_cart(run: InTransaction, new: NewCart) -> CartOut:
    """Give a customer an empty cart."""

    async def work(session: AsyncSession) -> CartOut:
        cart = await carts.open_cart(session, new.customer_id)
        return CartOut(id=cart.id, lines=[], value_cents=0)

    return await run.run(work)


@router.get("/{cart_id}")
async def show_cart(run: InTransaction, cart_id: uuid.UUID) -> CartOut:
    """Return the cart at today's prices."""

    async def work(session: AsyncSession) -> CartOut:
        return await described(session, cart_id)

    return await run.run(work)


@router.put("/{cart_id}/lines/{sku}")
async def put_line(run: InTransaction, cart_id: uuid.UUID, sku: str, wanted: Quantity) -> CartOut:
    """Have so many of a product in the cart."""

    async def work(session: AsyncSession) -> CartOut:
        cart = await carts.find(session, cart_id)
        await carts.put(session, cart, sku, wanted.quantity)
        return await described(session, cart_id)

    return await run.run(work)


@router.delete("/{cart_id}/lines/{sku}")
async def remove_line(run: InTransaction, cart_id: uuid.UUID, sku: str) -> CartOut:
    """Take a product out of the cart."""

    async def work(session: AsyncSession) -> CartOut:
        await carts.take_out(session, await carts.find(session, cart_id), sku)
        return await described(session, cart_id)

    return await run.run(work)


@router.post("/{cart_id}/orders", status_code=HTTPStatus.CREATED)
async def buy(
    run: InTransaction,
    cart_id: uuid.UUID,
    purchase: Purchase,
    idempotency_key: Annotated[str, Header(min_length=1)],
) -> OrderOut:
    """Buy what is in the cart; asking again with the same key buys nothing more."""
    request = {"cart": str(cart_id), **purchase.model_dump()}

    async def work(session: AsyncSession) -> Answer:
        async def place() -> Answer:
            cart = await carts.find(session, cart_id)
            wish = checkout.Wish(**purchase.model_dump())
            order = await checkout.place_order(session, cart, wish)
            await session.refresh(order)
            return OrderOut.model_validate(order).model_dump()

        return await idempotency.once(session, idempotency_key, request, place)

    return OrderOut.model_validate(await run.run(work))


async def described(session: AsyncSession, cart_id: uuid.UUID) -> CartOut:
    """Return the cart as it is shown."""
    cart = await carts.find(session, cart_id)
    lines = await carts.priced_lines(session, cart)
    return CartOut(
        id=cart.id,
        lines=[
            CartLineOut(sku=product.sku, quantity=quantity, unit_price_cents=price)
            for product, quantity, price in lines
        ],
        value_cents=sum(quantity * price for _, quantity, price in lines),
    )
