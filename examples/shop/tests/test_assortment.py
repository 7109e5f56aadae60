"""What the back office sells, at which price."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from shop import catalog
from shop.errors import NotFoundError, PriceOverlapError
from shop.models import Category, Product
from shop.office import assortment
from shop.office.assortment import NewProduct

SPRING = datetime(2026, 3, 1, tzinfo=UTC)
SUMMER = datetime(2026, 6, 1, tzinfo=UTC)
AUTUMN = datetime(2026, 9, 1, tzinfo=UTC)
CHESS = NewProduct("chess", "Chess set", 4900, "board-games")


def test_a_new_product_is_on_sale_with_nothing_in_stock(sessions, goods, ask):
    with sessions.begin() as session:
        assortment.add_product(session, CHESS)

    assert ask("SELECT active FROM products WHERE sku = 'chess'") is True
    assert goods.on_hand("chess") == 0


def test_a_sku_is_unique(sessions, ask):
    with sessions.begin() as session:
        assortment.add_product(session, CHESS)

    with pytest.raises(IntegrityError, match="uq_products_sku"), sessions.begin() as session:
        assortment.add_product(session, CHESS)
    assert ask("SELECT count(*) FROM products") == 1


def test_nothing_is_given_away(sessions):
    free = NewProduct("free", "Free", 0, "books")

    with pytest.raises(IntegrityError, match="price_positive"), sessions.begin() as session:
        assortment.add_product(session, free)


def test_a_product_needs_a_category(sessions, ask):
    with pytest.raises(NotFoundError), sessions.begin() as session:
        assortment.add_product(session, NewProduct("hose", "Hose", 100, "garden"))

    assert ask("SELECT count(*) FROM products") == 0


def test_a_category_with_products_cannot_be_deleted(goods, witness):
    goods.product("chess", category="board-games")

    with pytest.raises(psycopg.IntegrityError, match="fk_products_category_id"):
        witness.execute("DELETE FROM categories WHERE slug = 'games'")


def test_an_empty_category_is_deleted_with_everything_below_it(witness, ask):
    witness.execute("DELETE FROM categories WHERE slug = 'books'")

    assert ask("SELECT array_agg(slug ORDER BY slug) FROM categories") == [
        "board-games",
        "games",
        "puzzles",
    ]


def test_the_next_test_has_all_categories_again(ask):
    assert ask("SELECT count(*) FROM categories") == 7


def test_a_moved_category_takes_its_products_along(sessions, goods):
    goods.product("poirot", category="crime")
    with sessions.begin() as session:
        crime, games = (
            session.scalars(select(Category).where(Category.slug == slug)).one()
            for slug in ("crime", "games")
        )
        crime.parent_id = games.id

    with sessions() as session:
        products = session.scalars(catalog.active_products(catalog.Page(), "games"))
        assert [product.sku for product in products] == ["poirot"]
        assert list(session.scalars(catalog.breadcrumbs("crime"))) == ["games", "crime"]


def price_now(session, sku: str) -> int:
    price = catalog.current_price_cents().scalar_subquery()
    return session.scalars(select(price).select_from(Product).where(Product.sku == sku)).one()


def test_a_special_price_holds_in_its_time(sessions, goods):
    goods.product("chess", price=4900)
    now = datetime.now(UTC)
    with sessions.begin() as session:
        assortment.schedule_price(
            session, "chess", 3900, now - timedelta(hours=1), now + timedelta(hours=1)
        )

    with sessions() as session:
        assert price_now(session, "chess") == 3900


def test_a_special_price_that_is_over_costs_nothing_any_more(sessions, goods):
    goods.product("chess", price=4900)
    now = datetime.now(UTC)
    with sessions.begin() as session:
        assortment.schedule_price(
            session, "chess", 3900, now - timedelta(days=2), now - timedelta(days=1)
        )

    with sessions() as session:
        assert price_now(session, "chess") == 4900


async def test_an_order_is_sold_at_the_special_price(ada, goods, witness):
    product = goods.product("chess", price=4900)
    witness.execute(
        "INSERT INTO price_periods (product_id, price_cents, during) VALUES (%s, 3900, '(,)')",
        (product,),
    )

    assert (await ada.order(chess=1))["subtotal_cents"] == 3900


def test_special_prices_do_not_overlap(sessions, goods):
    goods.product("chess")
    with sessions.begin() as session:
        assortment.schedule_price(session, "chess", 500, SPRING, AUTUMN)

    with pytest.raises(PriceOverlapError), sessions.begin() as session:
        assortment.schedule_price(session, "chess", 400, SUMMER, AUTUMN)


def test_a_special_price_may_begin_where_another_ends(sessions, goods, ask):
    goods.product("chess")
    with sessions.begin() as session:
        assortment.schedule_price(session, "chess", 500, SPRING, SUMMER)
        assortment.schedule_price(session, "chess", 400, SUMMER, AUTUMN)

    assert ask("SELECT count(*) FROM price_periods") == 2


def test_special_prices_of_different_products_may_overlap(sessions, goods, ask):
    goods.product("chess")
    goods.product("go")
    with sessions.begin() as session:
        for sku in ("chess", "go"):
            assortment.schedule_price(session, sku, 500, SPRING, AUTUMN)

    assert ask("SELECT count(*) FROM price_periods") == 2


def test_a_price_list_changes_what_it_names(shop_db, goods, ask):
    for sku in ("chess", "go", "halma"):
        goods.product(sku, price=1000)

    with shop_db.connect() as connection:
        unknown = assortment.import_prices(connection, [("chess", 1100), ("go", 900), ("x", 1)])

    assert unknown == ["x"]
    assert ask("SELECT array_agg(price_cents ORDER BY sku) FROM products") == [1100, 900, 1000]


@pytest.mark.parametrize(
    "prices, error",
    [
        ([("chess", 900), ("go", -1)], psycopg.errors.CheckViolation),
        ([("chess", 900), ("chess", 800)], psycopg.errors.UniqueViolation),
    ],
    ids=["a price below zero", "a product twice"],
)
def test_a_price_list_with_a_mistake_changes_nothing(shop_db, goods, ask, prices, error):
    goods.product("chess", price=1000)
    goods.product("go", price=1000)

    with pytest.raises(error), shop_db.connect() as connection:
        assortment.import_prices(connection, prices)

    assert ask("SELECT array_agg(DISTINCT price_cents) FROM products") == [1000]


def test_a_price_list_may_be_long(shop_db, goods, ask):
    goods.product("sku-0042", price=1)

    with shop_db.connect() as connection:
        prices = ((f"sku-{number:04}", number + 1) for number in range(2000))
        unknown = assortment.import_prices(connection, prices)

    assert len(unknown) == 1999
    assert ask("SELECT price_cents FROM products") == 43
