"""Customers and what they bought."""

from http import HTTPStatus

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from shop import customers
from shop.api.schemas import CustomerOut, OrderOut, Registration
from shop.api.transactions import InTransaction
from shop.models import Order

router = APIRouter(prefix="/customers")


@router.post("", status_code=HTTPStatus.CREATED)
async def register(run: InTransaction, registration: Registration) -> CustomerOut:
    """Register a customer."""

    async def work(session: AsyncSession) -> CustomerOut:
        customer = await customers.register(session, **registration.model_dump())
        return CustomerOut.model_validate(customer)

    return await run.run(work)


@router.get("/{customer_id}")
async def show_customer(run: InTransaction, customer_id: int) -> CustomerOut:
    """Return one customer."""

    async def work(session: AsyncSession) -> CustomerOut:
        return CustomerOut.model_validate(await customers.find(session, customer_id))

    return await run.run(work)


@router.get("/{customer_id}/orders")
async def list_orders(run: InTransaction, customer_id: int) -> list[OrderOut]:
    """Return the customer's orders, newest first."""

    async def work(session: AsyncSession) -> list[OrderOut]:
        customer = await customers.find(session, customer_id)
        orders = await session.scalars(
            select(Order).where(Order.customer_id == customer.id).order_by(Order.id.desc())
        )
        return [OrderOut.model_validate(order) for order in orders]

    return await run.run(work)
