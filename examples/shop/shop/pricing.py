"""What things cost. Pure arithmetic on whole cents: nothing here knows a database."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True)
class Discount:
    """What a coupon takes off: a percentage or an amount."""

    percent: int | None = None
    amount_cents: int | None = None

    def of(self, subtotal_cents: int) -> int:
        """Return the discount in cents, at most the subtotal."""
        if self.percent is not None:
            return round_cents(Decimal(subtotal_cents) * self.percent / 100)
        return min(self.amount_cents or 0, subtotal_cents)


@dataclass(frozen=True)
class Shipping:
    """The price of a parcel, and the value of goods from which it is free."""

    price_cents: int
    free_from_cents: int | None = None

    def of(self, goods_cents: int) -> int:
        """Return the price in cents for goods of this value."""
        is_free = self.free_from_cents is not None and goods_cents >= self.free_from_cents
        return 0 if is_free else self.price_cents


@dataclass(frozen=True)
class Total:
    """An order's amounts in cents; VAT is contained in the total."""

    subtotal: int
    discount: int
    shipping: int
    vat: int

    @property
    def total(self) -> int:
        """What the customer pays."""
        return self.subtotal - self.discount + self.shipping


NO_DISCOUNT = Discount()


def add_up(
    subtotal: int, *, vat_rate: Decimal, shipping: Shipping, discount: Discount = NO_DISCOUNT
) -> Total:
    """Return the amounts of an order whose prices contain VAT."""
    off = discount.of(subtotal)
    sending = shipping.of(subtotal - off)
    gross = subtotal - off + sending
    vat = round_cents(gross * vat_rate / (1 + vat_rate))
    return Total(subtotal=subtotal, discount=off, shipping=sending, vat=vat)


def round_cents(amount: Decimal) -> int:
    """Round half a cent up, as invoices do; ``round`` would round it to the even cent."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
