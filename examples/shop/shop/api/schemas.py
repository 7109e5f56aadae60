"""What goes over the wire."""

import uuid
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Cents = Annotated[int, Field(gt=0)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


class FromRow(BaseModel):
    """Reads the attributes of a row."""

    model_config = ConfigDict(from_attributes=True)


class Registration(BaseModel):
    """A customer introduces herself."""

    email: Email
    name: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]


class CustomerOut(FromRow):
    """A customer."""

    id: int
    email: str
    name: str
    country_code: str


class ProductOut(FromRow):
    """A product at its normal price."""

    sku: str
    name: str
    description: str
    price_cents: int


class ProductPage(BaseModel):
    """Products, and where the next ones begin; nothing begins after the last page."""

    products: list[ProductOut]
    next_after: int | None


class SearchHit(BaseModel):
    """A product that matches, with the words that made it match."""

    product: ProductOut
    headline: str


class NewCart(BaseModel):
    """Whose cart it will be."""

    customer_id: int


class Quantity(BaseModel):
    """How many of it."""

    quantity: Annotated[int, Field(ge=1, le=99)]


class CartLineOut(BaseModel):
    """A line of a cart at today's price."""

    sku: str
    quantity: int
    unit_price_cents: int


class CartOut(BaseModel):
    """A cart."""

    id: uuid.UUID
    lines: list[CartLineOut]
    value_cents: int


class Purchase(BaseModel):
    """How the cart shall become an order."""

    shipping: str = "parcel"
    coupon: str | None = None


class OrderLineOut(FromRow):
    """A line of an order at the price it was bought for."""

    position: int
    quantity: int
    unit_price_cents: int


class OrderOut(FromRow):
    """An order."""

    number: str
    status: str
    subtotal_cents: int
    discount_cents: int
    shipping_cents: int
    vat_cents: int
    total_cents: int


class OrderDetails(OrderOut):
    """An order with everything in it."""

    lines: list[OrderLineOut]


class PaymentIn(BaseModel):
    """The payment provider reports money."""

    amount_cents: Cents
    reference: Annotated[str, StringConstraints(min_length=1)]


class RefundIn(BaseModel):
    """Money goes back, for a reason."""

    amount_cents: Cents
    reason: Annotated[str, StringConstraints(min_length=1)]


class EventOut(FromRow):
    """Something that happened."""

    position: int
    stream: str
    version: int
    type: str
    data: dict[str, object]
