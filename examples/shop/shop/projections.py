"""What the events add up to. Pure: give it events, look at the result."""

from collections import Counter
from dataclasses import dataclass, field

from shop.feed import RecordedEvent
from shop.models import OrderStatus


@dataclass
class Sales:
    """Orders and goods, told from the events alone."""

    status: dict[str, OrderStatus] = field(default_factory=dict)
    sold: Counter[str] = field(default_factory=Counter)
    paid_cents: int = 0
    refunded_cents: int = 0
    _total_cents: dict[str, int] = field(default_factory=dict)
    _back_cents: Counter[str] = field(default_factory=Counter)

    def apply(self, event: RecordedEvent) -> None:
        """Take in the next event; what is not about orders is passed over."""
        kind, _, number = event.stream.partition("/")
        if kind != "order":
            return
        match event.type:
            case "OrderPlaced":
                self.status[number] = OrderStatus.PLACED
                self._total_cents[number] = event.data["total_cents"]
                for line in event.data["lines"]:
                    self.sold[line["sku"]] += line["quantity"]
            case "OrderPaid":
                self.status[number] = OrderStatus.PAID
                self.paid_cents += event.data["amount_cents"]
            case "OrderCancelled":
                self.status[number] = OrderStatus.CANCELLED
            case "OrderRefunded":
                self._refund(number, event.data["amount_cents"])

    def _refund(self, number: str, amount_cents: int) -> None:
        self.refunded_cents += amount_cents
        self._back_cents[number] += amount_cents
        if self._back_cents[number] == self._total_cents[number]:
            self.status[number] = OrderStatus.REFUNDED
