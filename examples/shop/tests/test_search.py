"""Finding things by words."""

import pytest


async def found(http, words: str) -> list[str]:
    hits = (await http.get("/products/search", params={"q": words})).json()
    return [hit["product"]["sku"] for hit in hits]


@pytest.fixture
def library(goods):
    goods.product("whale", name="Moby-Dick", description="A captain hunts a white whale")
    goods.product("sea", name="The Old Man and the Sea", description="An old fisherman")
    goods.product("atlas", name="Whales of the world", description="Pictures of the sea")
    goods.product("gone", name="Whale watching", active=False)


@pytest.mark.usefixtures("library")
class TestSearch:
    async def test_words_match_by_their_stem(self, http):
        assert set(await found(http, "hunting whales")) == {"whale"}

    async def test_a_match_in_the_name_comes_before_one_in_the_description(self, http):
        assert await found(http, "whale") == ["atlas", "whale"]

    async def test_every_word_has_to_match(self, http):
        assert await found(http, "whale pictures") == ["atlas"]

    async def test_either_word_matches_with_or(self, http):
        assert set(await found(http, "captain or fisherman")) == {"whale", "sea"}

    async def test_a_minus_leaves_products_out(self, http):
        assert await found(http, "sea -pictures") == ["sea"]

    async def test_a_quoted_phrase_matches_in_its_order(self, http):
        assert await found(http, '"white whale"') == ["whale"]
        assert await found(http, '"whale white"') == []

    async def test_what_is_withdrawn_is_not_found(self, http):
        assert await found(http, "watching") == []

    async def test_words_that_mean_nothing_find_nothing(self, http):
        assert await found(http, "the and of") == []

    async def test_the_headline_marks_the_words(self, http):
        hits = (await http.get("/products/search", params={"q": "captain"})).json()

        assert "**captain**" in hits[0]["headline"]


async def test_a_new_description_is_searchable_at_once(http, goods, witness):
    goods.product("puzzle", name="Puzzle")
    assert await found(http, "lighthouse") == []

    witness.execute("UPDATE products SET description = 'A lighthouse in 1000 pieces'")

    assert await found(http, "lighthouse") == ["puzzle"]


async def test_a_search_that_looks_like_sql_is_only_words(http, goods, ask):
    goods.product("safe", name="Safe")

    assert await found(http, "'; DROP TABLE products; --") == []
    assert ask("SELECT count(*) FROM products") == 1
