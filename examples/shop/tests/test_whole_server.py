"""What concerns the whole server and not one database: each test gets a server of its own."""

import psycopg
import pytest

from shop.office import reports
from shop.office.access import create_analyst

pytestmark = [pytest.mark.pg(isolation="server"), pytest.mark.needs_freshpg]


@pytest.mark.parametrize("attempt", ["the first time", "again, with nothing left of the first"])
def test_an_analyst_is_created(witness, ask, attempt):
    assert ask("SELECT count(*) FROM pg_roles WHERE rolname = 'analyst'") == 0, attempt

    create_analyst(witness, "analyst")

    assert ask("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'analyst'") is False


def test_an_analyst_sees_figures_and_no_people(witness, goods, ask):
    create_analyst(witness, "analyst")
    goods.product("chess")
    witness.execute("SET ROLE analyst")

    assert ask("SELECT count(*) FROM products") == 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask("SELECT count(*) FROM customers")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        witness.execute("UPDATE products SET price_cents = 1")


def test_a_day_of_sales_is_the_same_wherever_the_server_stands(witness, goods, sessions, shop_db):
    customer = goods.customer()
    witness.execute(
        "INSERT INTO orders (customer_id, country_code, shipping_code, subtotal_cents,"
        " shipping_cents, vat_cents, total_cents, placed_at)"
        " VALUES (%s, 'DE', 'pickup', 1000, 0, 160, 1000, '2026-01-01 23:30+00')",
        (customer,),
    )
    witness.execute("ALTER SYSTEM SET timezone = 'Pacific/Auckland'")
    witness.execute("SELECT pg_reload_conf()")
    with shop_db.connect() as elsewhere:
        assert elsewhere.execute("SHOW timezone").fetchone() == ("Pacific/Auckland",)

    with sessions.begin() as session:
        reports.refresh_daily_sales(session)
        (day,) = reports.daily_sales(session)

    assert day.day.isoformat() == "2026-01-01"
