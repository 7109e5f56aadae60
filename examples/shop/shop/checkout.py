"""From a cart to an order, in one serializable transaction.

The caller runs :func:`place_order` again when it lost against another transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shop import carts, event_log
from shop.errors import (
    CouponRejectedError,
    CreditExceededError,
    EmptyCartError,
    NotFoundError,
    OutOfStockError,
)
from shop.models import (
    Cart,
    Country,
    Coupon,
    CouponRedemption,
    Customer,
    Order,
    OrderLine,
    OrderStatus,
    Product,
    ShippingMethod,
    StockLevel,
)
from shop.pricing import NO_DISCOUNT, Discount, Shipping, Total, add_up

PricedLines = Sequence[tuple[Product, int, int]]


@dataclass(frozen=True)
class Wish:
    """How the customer wants it."""

    shipping: str = "parcel"
    coupon: str | None = None


async def place_order(session: AsyncSession, cart: Cart, wish: Wish) -> Order:
    """Turn the cart into an order: take the stock, redeem the coupon, tell the event log.

    :raises EmptyCartError: the cart has no lines.
    :raises OutOfStockError: not everything is there in that quantity.
    :raises CouponRejectedError: the coupon cannot be used, or not by this customer.
    :raises CreditExceededError: the customer would owe more than allowed.
    :raises NotFoundError: there is no such shipping method.
    """
    lines = await carts.priced_lines(session, cart)
    if not lines:
        raise EmptyCartError(f"cart {cart.id} is empty")
    await take_from_stock(session, lines)
    discount = await use_coupon(session, wish.coupon) if wish.coupon else NO_DISCOUNT
    total = await add_up_cart(session, cart.customer, lines, wish, discount)
    await check_credit(session, cart.customer, total)
    order = await write_order(session, cart.customer, lines, wish, total)
    if wish.coupon:
        await remember_redemption(session, wish.coupon, order)
    await session.delete(cart)
    # The event log has one writer at a time: whoever holds it must not wait for anything else.
    await event_log.append(
        session,
        event_log.order_stream(order.number),
        0,
        "OrderPlaced",
        {
            "customer": order.customer_id,
            "total_cents": order.total_cents,
            "lines": [{"sku": product.sku, "quantity": quantity} for product, quantity, _ in lines],
        },
    )
    return order


async def take_from_stock(session: AsyncSession, lines: PricedLines) -> None:
    """Take every line off the shelf, leaving alone what is reserved."""
    for product, quantity, _ in lines:
        taken = await session.scalar(
            update(StockLevel)
            .where(
                StockLevel.product_id == product.id,
                StockLevel.on_hand - StockLevel.reserved >= quantity,
            )
            .values(on_hand=StockLevel.on_hand - quantity)
            .returning(StockLevel.product_id)
        )
        if taken is None:
            raise OutOfStockError(product.sku)


async def use_coupon(session: AsyncSession, code: str) -> Discount:
    """Count one use of the coupon, if it is valid now and has uses left."""
    coupon = await session.scalar(
        update(Coupon)
        .where(
            Coupon.code == code.upper(),
            Coupon.valid_during.op("@>")(func.now()),
            or_(Coupon.max_uses.is_(None), Coupon.used < Coupon.max_uses),
        )
        .values(used=Coupon.used + 1)
        .returning(Coupon)
    )
    if coupon is None:
        raise CouponRejectedError(f"coupon {code} cannot be used")
    return Discount(percent=coupon.percent_off, amount_cents=coupon.amount_off_cents)


async def remember_redemption(session: AsyncSession, code: str, order: Order) -> None:
    """Write down who used the coupon: nobody uses one twice."""
    key = {"coupon_code": code.upper(), "customer_id": order.customer_id}
    if await session.get(CouponRedemption, key) is not None:
        raise CouponRejectedError(f"coupon {code} was used by this customer before")
    session.add(CouponRedemption(**key, order_id=order.id))
    await session.flush()


async def add_up_cart(
    session: AsyncSession, customer: Customer, lines: PricedLines, wish: Wish, discount: Discount
) -> Total:
    """Return the amounts with the customer's VAT and the wanted shipping."""
    country = await session.get_one(Country, customer.country_code)
    shipping = await session.get(ShippingMethod, wish.shipping)
    if shipping is None:
        raise NotFoundError("shipping method", wish.shipping)
    return add_up(
        sum(quantity * price for _, quantity, price in lines),
        vat_rate=country.vat_rate,
        shipping=Shipping(shipping.price_cents, shipping.free_from_cents),
        discount=discount,
    )


async def check_credit(session: AsyncSession, customer: Customer, total: Total) -> None:
    """Compare what the customer owes with the limit.

    Two orders at once could both find room for themselves alone: this is what the transaction
    is serializable for.
    """
    owed = await session.scalar(
        select(func.coalesce(func.sum(Order.total_cents), 0)).where(
            Order.customer_id == customer.id, Order.status == OrderStatus.PLACED
        )
    )
    if int(owed or 0) + total.total > customer.credit_limit_cents:
        raise CreditExceededError(f"customer {customer.id} would owe too much")


async def write_order(
    session: AsyncSession, customer: Customer, lines: PricedLines, wish: Wish, total: Total
) -> Order:
    """Insert the order and its lines at today's prices."""
    order = Order(
        customer_id=customer.id,
        country_code=customer.country_code,
        shipping_code=wish.shipping,
        subtotal_cents=total.subtotal,
        discount_cents=total.discount,
        shipping_cents=total.shipping,
        vat_cents=total.vat,
        total_cents=total.total,
    )
    session.add(order)
    await session.flush()
    await session.execute(
        insert(OrderLine),
        [
            {
                "order_id": order.id,
                "position": position,
                "product_id": product.id,
                "quantity": quantity,
                "unit_price_cents": price,
            }
            for position, (product, quantity, price) in enumerate(lines, start=1)
        ],
    )
    return order
