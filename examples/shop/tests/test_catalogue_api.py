"""Looking around in the shop, over HTTP."""

import pytest


async def test_a_product_is_shown_by_its_sku(http, goods):
    goods.product("chess", price=4900, name="Chess set", category="board-games")

    answer = await http.get("/products/chess")

    assert answer.json() == {
        "sku": "chess",
        "name": "Chess set",
        "description": "",
        "price_cents": 4900,
    }


async def test_an_unknown_product_is_a_404_with_a_code(http):
    answer = await http.get("/products/nothing")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_a_withdrawn_product_is_shown_but_not_listed(http, goods):
    goods.product("old", active=False)

    assert (await http.get("/products/old")).status_code == 200
    assert (await http.get("/products")).json()["products"] == []


async def test_the_shop_opens_with_empty_shelves(http):
    assert (await http.get("/products")).json() == {"products": [], "next_after": None}


async def test_pages_join_without_gap_or_repetition(http, goods):
    skus = [f"book-{number:02}" for number in range(7)]
    for sku in skus:
        goods.product(sku)

    seen, after = [], 0
    while after is not None:
        page = (await http.get("/products", params={"after": after, "limit": 3})).json()
        seen += [product["sku"] for product in page["products"]]
        after = page["next_after"]

    assert seen == skus


async def test_a_product_added_meanwhile_does_not_shift_the_next_page(http, goods):
    for sku in ("a", "b", "c"):
        goods.product(sku)
    first = (await http.get("/products", params={"limit": 2})).json()
    goods.product("d")

    rest = (await http.get("/products", params={"after": first["next_after"]})).json()

    assert [product["sku"] for product in rest["products"]] == ["c", "d"]


async def test_a_product_withdrawn_meanwhile_is_not_on_the_next_page(http, goods, witness):
    for sku in ("a", "b", "c", "d"):
        goods.product(sku)
    first = (await http.get("/products", params={"limit": 2})).json()
    witness.execute("UPDATE products SET active = false WHERE sku = 'c'")

    rest = (await http.get("/products", params={"after": first["next_after"]})).json()

    assert [product["sku"] for product in rest["products"]] == ["d"]


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_a_page_has_between_one_and_a_hundred_products(http, limit):
    assert (await http.get("/products", params={"limit": limit})).status_code == 422


async def test_a_category_contains_what_is_below_it(http, goods):
    goods.product("poirot", category="crime")
    goods.product("atlas", category="non-fiction")
    goods.product("chess", category="board-games")

    books = (await http.get("/products", params={"category": "books"})).json()["products"]

    assert [book["sku"] for book in books] == ["poirot", "atlas"]


async def test_a_leaf_category_contains_only_its_own(http, goods):
    goods.product("poirot", category="crime")
    goods.product("novel", category="fiction")

    crime = (await http.get("/products", params={"category": "crime"})).json()["products"]

    assert [book["sku"] for book in crime] == ["poirot"]


async def test_an_unknown_category_is_empty(http, goods):
    goods.product("poirot", category="crime")

    answer = await http.get("/products", params={"category": "garden"})

    assert answer.json()["products"] == []
