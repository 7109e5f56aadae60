"""Who changed what: written by the database, whoever writes."""

import pytest

from shop.office import reports
from shop.office.actor import act_as
from shop.office.assortment import NewProduct, add_product, find_product


@pytest.fixture
def changes(sessions):
    def of(table: str, key: str) -> list:
        with sessions() as session:
            return list(reports.changes_of(session, table, key))

    return of


def test_a_new_row_is_recorded(sessions, changes):
    with sessions.begin() as session:
        add_product(session, NewProduct("chess", "Chess set", 4900, "board-games"))

    (entry,) = changes("products", "chess")

    assert (entry.operation, entry.before, entry.after["price_cents"]) == ("insert", None, 4900)


def test_a_change_is_recorded_with_before_and_after(sessions, goods, changes):
    goods.product("chess", price=4900)
    with sessions.begin() as session:
        find_product(session, "chess").price_cents = 3900

    entry = changes("products", "chess")[-1]

    assert (entry.before["price_cents"], entry.after["price_cents"]) == (4900, 3900)


def test_a_deletion_keeps_what_was_there(goods, witness, changes):
    goods.product("chess", price=4900)
    witness.execute("DELETE FROM products")

    entry = changes("products", "chess")[-1]

    assert (entry.operation, entry.before["price_cents"], entry.after) == ("delete", 4900, None)


def test_a_change_that_changes_nothing_is_not_recorded(goods, witness, changes):
    goods.product("chess")
    witness.execute("UPDATE products SET name = name")

    assert len(changes("products", "chess")) == 1


def test_the_person_at_the_desk_is_named(sessions, goods, changes):
    goods.product("chess")
    with sessions.begin() as session:
        act_as(session, "grace")
        find_product(session, "chess").name = "Go"

    assert changes("products", "chess")[-1].actor == "grace"


def test_the_name_does_not_stick_to_the_connection(sessions, goods, changes, ask):
    goods.product("chess")
    for name in ("grace", None):
        with sessions.begin() as session:
            if name:
                act_as(session, name)
            find_product(session, "chess").name = f"by {name}"

    actors = [entry.actor for entry in changes("products", "chess")]

    assert actors[1:] == ["grace", ask("SELECT session_user::text")]


def test_what_is_rolled_back_was_never_recorded(sessions, goods, changes):
    goods.product("chess")
    with sessions() as session:
        find_product(session, "chess").name = "Go"
        session.flush()

    assert len(changes("products", "chess")) == 1


async def test_a_sale_is_recorded_on_the_stock_it_took(ada, goods, witness):
    product = goods.product("chess", stock=5)
    await ada.order(chess=2)

    row = witness.execute(
        "SELECT before ->> 'on_hand', after ->> 'on_hand' FROM audit_log"
        " WHERE table_name = 'stock_levels' AND row_key = %s ORDER BY id DESC LIMIT 1",
        (str(product),),
    ).fetchone()

    assert row == ("5", "3")


def test_bulk_changes_are_recorded_row_by_row(goods, witness, ask):
    for sku in ("chess", "go", "halma"):
        goods.product(sku)

    witness.execute("UPDATE products SET price_cents = price_cents + 1")

    assert ask("SELECT count(*) FROM audit_log WHERE operation = 'update'") == 3
