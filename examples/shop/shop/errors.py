"""What can go wrong in the shop, as a customer would put it.

Every error knows the HTTP status it becomes; nothing but the API looks at that.
"""

from http import HTTPStatus
from typing import ClassVar


class ShopError(Exception):
    """Base of all errors a caller can do something about."""

    code: ClassVar[str] = "shop-error"
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST


class NotFoundError(ShopError):
    """There is no such thing."""

    code = "not-found"
    status = HTTPStatus.NOT_FOUND

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"there is no {kind} {key}")


class EmailTakenError(ShopError):
    """Somebody else has registered with this address."""

    code = "email-taken"
    status = HTTPStatus.CONFLICT


class EmptyCartError(ShopError):
    """Nothing to buy."""

    code = "empty-cart"


class OutOfStockError(ShopError):
    """Fewer pieces are available than were asked for."""

    code = "out-of-stock"
    status = HTTPStatus.CONFLICT

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is not enough of {sku} in stock")
        self.sku = sku


class CouponRejectedError(ShopError):
    """The coupon is unknown, over, used up, or was used by this customer before."""

    code = "coupon-rejected"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class CreditExceededError(ShopError):
    """The customer's unpaid orders would pass the credit limit."""

    code = "credit-exceeded"
    status = HTTPStatus.PAYMENT_REQUIRED


class WrongOrderStatusError(ShopError):
    """The order is not in a state that allows this."""

    code = "wrong-order-status"
    status = HTTPStatus.CONFLICT


class DuplicatePaymentError(ShopError):
    """The payment provider's reference was booked before."""

    code = "duplicate-payment"
    status = HTTPStatus.CONFLICT


class RefundTooHighError(ShopError):
    """More would go back than ever came in."""

    code = "refund-too-high"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class IdempotencyKeyReusedError(ShopError):
    """The key was used before, with a different request."""

    code = "idempotency-key-reused"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class PriceOverlapError(ShopError):
    """The product already has a special price in that period."""

    code = "price-overlap"
    status = HTTPStatus.CONFLICT


class WrongExpectedVersionError(ShopError):
    """Somebody else appended to the stream first."""

    code = "wrong-expected-version"
    status = HTTPStatus.CONFLICT
