"""A customer in front of the web application."""

import itertools

import httpx
import pytest

keys = itertools.count(1)


class Shopper:
    """Does what a customer does, one request after the other."""

    def __init__(self, http: httpx.AsyncClient, customer_id: int) -> None:
        self.http = http
        self.customer_id = customer_id

    async def cart(self, **quantities: int) -> str:
        """Fill a new cart: pieces by SKU; return the cart's id."""
        opened = await self.http.post("/carts", json={"customer_id": self.customer_id})
        cart_id = opened.json()["id"]
        for sku, quantity in quantities.items():
            await self.put(cart_id, sku, quantity)
        return cart_id

    async def put(self, cart_id: str, sku: str, quantity: int) -> httpx.Response:
        """Have so many of a product in the cart."""
        return await self.http.put(f"/carts/{cart_id}/lines/{sku}", json={"quantity": quantity})

    async def buy(self, cart_id: str, *, key: str | None = None, **wish: str) -> httpx.Response:
        """Buy the cart; every call is a purchase of its own unless a key says otherwise."""
        headers = {"Idempotency-Key": key or f"purchase-{next(keys)}"}
        return await self.http.post(f"/carts/{cart_id}/orders", json=wish, headers=headers)

    async def order(self, **quantities: int) -> dict:
        """Buy so many of each; return the order."""
        answer = await self.buy(await self.cart(**quantities))
        assert answer.status_code == httpx.codes.CREATED, answer.text
        return answer.json()

    async def pay(self, order: dict, reference: str | None = None) -> httpx.Response:
        """Pay the whole order."""
        payment = {
            "amount_cents": order["total_cents"],
            "reference": reference or f"bank-{order['number']}",
        }
        return await self.http.post(f"/orders/{order['number']}/payments", json=payment)

    async def cancel(self, order: dict) -> httpx.Response:
        """Cancel the order."""
        return await self.http.post(f"/orders/{order['number']}/cancellation")

    async def refund(self, order: dict, cents: int, reason: str = "broken") -> httpx.Response:
        """Ask for money back."""
        refund = {"amount_cents": cents, "reason": reason}
        return await self.http.post(f"/orders/{order['number']}/refunds", json=refund)


@pytest.fixture
def ada(http, goods) -> Shopper:
    """Return a customer from Germany."""
    return Shopper(http, goods.customer("ada@example.com"))


@pytest.fixture
def bob(http, goods) -> Shopper:
    """Return another one, from France."""
    return Shopper(http, goods.customer("bob@example.com", country="FR"))
