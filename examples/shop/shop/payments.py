"""Money for orders: in, back, and orders that never see any."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from shop import event_log
from shop.customers import UNIQUE_VIOLATION
from shop.errors import (
    DuplicatePaymentError,
    NotFoundError,
    RefundTooHighError,
    WrongOrderStatusError,
)
from shop.models import Order, OrderStatus, Payment, Refund, StockLevel
from shop.retry import sqlstate


@dataclass(frozen=True)
class Receipt:
    """What a payment provider tells about money that came in."""

    amount_cents: int
    reference: str


async def find_order(session: AsyncSession, number: str, *, lock: bool = False) -> Order:
    """Return an order with its lines; with ``lock`` nobody else changes it meanwhile.

    :raises NotFoundError: there is no such order.
    """
    query = select(Order).where(Order.number == number).options(selectinload(Order.lines))
    order = await session.scalar(query.with_for_update(of=Order) if lock else query)
    if order is None:
        raise NotFoundError("order", number)
    return order


async def pay(session: AsyncSession, number: str, receipt: Receipt) -> Order:
    """Book the payment of a whole order.

    :raises WrongOrderStatusError: the order is not waiting for money, or for another amount.
    :raises DuplicatePaymentError: this receipt was booked before.
    """
    order = await find_order(session, number, lock=True)
    demand_status(order, OrderStatus.PLACED, "paid")
    if receipt.amount_cents != order.total_cents:
        raise WrongOrderStatusError(f"{number} costs {order.total_cents} cents")
    session.add(
        Payment(
            order_id=order.id,
            amount_cents=receipt.amount_cents,
            provider_reference=receipt.reference,
        )
    )
    order.status = OrderStatus.PAID
    try:
        await session.flush()
    except IntegrityError as error:
        if sqlstate(error) != UNIQUE_VIOLATION:
            raise
        message = f"payment {receipt.reference} was booked before"
        raise DuplicatePaymentError(message) from error
    await tell(session, order, "OrderPaid", {"amount_cents": receipt.amount_cents})
    return order


async def cancel(session: AsyncSession, number: str) -> Order:
    """Cancel an unpaid order and put everything back on the shelf.

    :raises WrongOrderStatusError: it is paid or was cancelled before.
    """
    order = await find_order(session, number, lock=True)
    demand_status(order, OrderStatus.PLACED, "cancelled")
    order.status = OrderStatus.CANCELLED
    await put_back(session, order)
    await tell(session, order, "OrderCancelled", {})
    return order


async def refund(session: AsyncSession, number: str, amount_cents: int, reason: str) -> Order:
    """Give money back; once all of it is back, the order is refunded and its goods return.

    :raises WrongOrderStatusError: it was never paid, or all is back already.
    :raises RefundTooHighError: more than what is left of the payment.
    """
    order = await find_order(session, number, lock=True)
    demand_status(order, OrderStatus.PAID, "refunded")
    before = await session.scalars(select(Refund.amount_cents).where(Refund.order_id == order.id))
    given_back = sum(before) + amount_cents
    if given_back > order.total_cents:
        raise RefundTooHighError(f"only {order.total_cents} cents were paid for {number}")
    session.add(Refund(order_id=order.id, amount_cents=amount_cents, reason=reason))
    if given_back == order.total_cents:
        order.status = OrderStatus.REFUNDED
        await put_back(session, order)
    await session.flush()
    await tell(session, order, "OrderRefunded", {"amount_cents": amount_cents, "reason": reason})
    return order


def demand_status(order: Order, wanted: OrderStatus, verb: str) -> None:
    """Refuse what the order's life does not allow."""
    if order.status != wanted:
        raise WrongOrderStatusError(f"{order.number} is {order.status} and cannot be {verb}")


async def put_back(session: AsyncSession, order: Order) -> None:
    """Put the order's goods back on the shelf, in the order in which everybody locks them."""
    for line in sorted(order.lines, key=lambda line: line.product_id):
        await session.execute(
            update(StockLevel)
            .where(StockLevel.product_id == line.product_id)
            .values(on_hand=StockLevel.on_hand + line.quantity)
        )


async def tell(session: AsyncSession, order: Order, kind: str, data: dict[str, object]) -> None:
    """Append the order's next event."""
    stream = event_log.order_stream(order.number)
    version = await event_log.version_of(session, stream)
    await event_log.append(session, stream, version, kind, data)
