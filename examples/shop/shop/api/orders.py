"""Orders, and the money for them."""

from http import HTTPStatus

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from shop import payments
from shop.api.schemas import OrderDetails, OrderOut, PaymentIn, RefundIn
from shop.api.transactions import InTransaction

router = APIRouter(prefix="/orders/{number}")


@router.get("")
async def show_order(run: InTransaction, number: str) -> OrderDetails:
    """Return one order with its lines."""

    async def work(session: AsyncSession) -> OrderDetails:
        return OrderDetails.model_validate(await payments.find_order(session, number))

    return await run.run(work)


@router.post("/payments", status_code=HTTPStatus.CREATED)
async def pay(run: InTransaction, number: str, payment: PaymentIn) -> OrderOut:
    """Book a payment."""
    receipt = payments.Receipt(payment.amount_cents, payment.reference)

    async def work(session: AsyncSession) -> OrderOut:
        return OrderOut.model_validate(await payments.pay(session, number, receipt))

    return await run.run(work)


@router.post("/cancellation", status_code=HTTPStatus.CREATED)
async def cancel(run: InTransaction, number: str) -> OrderOut:
    """Cancel an unpaid order."""

    async def work(session: AsyncSession) -> OrderOut:
        return OrderOut.model_validate(await payments.cancel(session, number))

    return await run.run(work)


@router.post("/refunds", status_code=HTTPStatus.CREATED)
async def refund(run: InTransaction, number: str, wanted: RefundIn) -> OrderOut:
    """Give money back."""

    async def work(session: AsyncSession) -> OrderOut:
        order = await payments.refund(session, number, wanted.amount_cents, wanted.reason)
        return OrderOut.model_validate(order)

    return await run.run(work)
