"""Who buys here."""

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shop.errors import EmailTakenError, NotFoundError
from shop.models import Country, Customer
from shop.retry import sqlstate

UNIQUE_VIOLATION = "23505"


async def register(session: AsyncSession, *, email: str, name: str, country: str) -> Customer:
    """Add a customer.

    :raises EmailTakenError: the address is known, in whatever case.
    :raises NotFoundError: the shop does not deliver to that country.
    """
    if await session.get(Country, country) is None:
        raise NotFoundError("country", country)
    customer = Customer(email=email, name=name, country_code=country)
    session.add(customer)
    try:
        await session.flush()
    except IntegrityError as error:
        if sqlstate(error) != UNIQUE_VIOLATION:
            raise
        message = f"somebody is registered as {email}"
        raise EmailTakenError(message) from error
    return customer


async def find(session: AsyncSession, customer_id: int) -> Customer:
    """Return a customer.

    :raises NotFoundError: nobody has this number.
    """
    customer = await session.get(Customer, customer_id)
    if customer is None:
        raise NotFoundError("customer", customer_id)
    return customer


async def find_by_email(session: AsyncSession, email: str) -> Customer | None:
    """Return the customer with this address, in whatever case it is written."""
    return await session.scalar(select(Customer).where(func.lower(Customer.email) == email.lower()))
