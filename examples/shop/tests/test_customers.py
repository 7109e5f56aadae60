"""Customers: who they are, and that each is only one."""

import asyncio

import psycopg
import pytest

ADA = {"email": "ada@example.com", "name": "Ada", "country": "DE"}


async def test_a_registered_customer_is_there_for_everybody(http, ask):
    registered = (await http.post("/customers", json=ADA)).json()

    assert ask("SELECT email FROM customers WHERE id = %s", registered["id"]) == ADA["email"]


async def test_a_customer_is_shown(http, goods):
    ada = goods.customer("ada@example.com", country="FR")

    answer = (await http.get(f"/customers/{ada}")).json()

    assert (answer["email"], answer["country_code"]) == ("ada@example.com", "FR")


async def test_nobody_registers_twice(http, ask):
    await http.post("/customers", json=ADA)

    again = await http.post("/customers", json=ADA)

    assert (again.status_code, again.json()["code"]) == (409, "email-taken")
    assert ask("SELECT count(*) FROM customers") == 1


async def test_an_address_is_the_same_in_capitals(http):
    await http.post("/customers", json=ADA)

    again = await http.post("/customers", json=ADA | {"email": "Ada@Example.COM"})

    assert again.status_code == 409


async def test_of_five_registrations_at_once_one_succeeds(http, ask):
    answers = await asyncio.gather(*(http.post("/customers", json=ADA) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert ask("SELECT count(*) FROM customers") == 1


async def test_the_shop_refuses_countries_it_does_not_deliver_to(http, ask):
    answer = await http.post("/customers", json=ADA | {"country": "XX"})

    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no country XX")
    assert ask("SELECT count(*) FROM customers") == 0


@pytest.mark.parametrize(
    "wrong",
    [{"email": "ada"}, {"email": "a da@example.com"}, {"name": "  "}, {"country": "Germany"}],
    ids=["no at", "a space", "no name", "a long country"],
)
async def test_a_registration_must_make_sense(http, wrong):
    assert (await http.post("/customers", json=ADA | wrong)).status_code == 422


async def test_a_failed_registration_uses_up_a_number_and_nothing_else(http, ask):
    first = (await http.post("/customers", json=ADA)).json()
    await http.post("/customers", json=ADA)

    other = await http.post("/customers", json=ADA | {"email": "bob@example.com"})

    assert other.json()["id"] == first["id"] + 2
    assert ask("SELECT count(*) FROM audit_log WHERE table_name = 'customers'") == 2


async def test_the_first_customer_is_number_one(http):
    assert (await http.post("/customers", json=ADA)).json()["id"] == 1


async def test_the_first_customer_of_another_test_is_number_one_too(http):
    assert (await http.post("/customers", json=ADA)).json()["id"] == 1


async def test_a_customer_without_orders_has_an_empty_list(http, goods):
    ada = goods.customer()

    assert (await http.get(f"/customers/{ada}/orders")).json() == []


async def test_carts_leave_with_their_customer(ada, goods, witness, ask):
    goods.product("chess")
    await ada.cart(chess=1)

    witness.execute("DELETE FROM customers WHERE id = %s", (ada.customer_id,))

    assert ask("SELECT count(*) FROM carts") == 0
    assert ask("SELECT count(*) FROM cart_lines") == 0


async def test_a_customer_with_orders_cannot_be_deleted(ada, goods, witness):
    goods.product("chess")
    await ada.order(chess=1)

    with pytest.raises(psycopg.IntegrityError, match="fk_orders_customer_id"):
        witness.execute("DELETE FROM customers WHERE id = %s", (ada.customer_id,))
