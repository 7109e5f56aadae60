"""The migrations themselves: each test takes the schema apart in a database of its own."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

pytestmark = [pytest.mark.pg(isolation="clone")]
ALEMBIC_INI = Path(__file__).parents[1] / "alembic.ini"


@pytest.fixture
def alembic(shop_db) -> Config:
    config = Config(ALEMBIC_INI)
    config.set_main_option(
        "sqlalchemy.url", shop_db.url_for("sqlalchemy+psycopg").replace("%", "%%")
    )
    return config


def test_the_history_is_one_line(alembic):
    scripts = ScriptDirectory.from_config(alembic)

    assert len(scripts.get_heads()) == 1
    assert [script.revision for script in scripts.walk_revisions()][-1] == "0001"


def test_the_models_say_what_the_migrations_made(alembic):
    command.check(alembic)


def test_every_step_can_be_undone_and_done_again(alembic, ask):
    revisions = [
        script.revision for script in ScriptDirectory.from_config(alembic).walk_revisions()
    ]

    for _ in revisions:
        command.downgrade(alembic, "-1")
    left = ask(
        "SELECT array_agg(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    command.upgrade(alembic, "head")

    assert set(left) == {"alembic_version", "alembic_version_pkc"}
    assert ask("SELECT version_num FROM alembic_version") == revisions[0]


def test_prices_survive_the_change_to_cents(alembic, witness, ask):
    command.downgrade(alembic, "0003")
    witness.execute(
        "INSERT INTO categories (slug, name) VALUES ('toys', 'Toys');"
        "INSERT INTO products (sku, name, price, category_id)"
        " SELECT 'chess', 'Chess', 49.90, id FROM categories WHERE slug = 'toys'"
    )

    command.upgrade(alembic, "head")

    assert ask("SELECT price_cents FROM products WHERE sku = 'chess'") == 4990
    assert ask("SELECT on_hand FROM stock_levels") == 0


def test_addresses_that_differ_in_case_stop_the_last_migration(alembic, witness, ask):
    command.downgrade(alembic, "0010")
    witness.execute(
        "INSERT INTO customers (email, name, country_code)"
        " VALUES ('ada@example.com', 'Ada', 'DE'), ('Ada@example.com', 'Ada', 'DE')"
    )

    with pytest.raises(Exception, match="could not create unique index"):
        command.upgrade(alembic, "head")

    assert ask("SELECT version_num FROM alembic_version") == "0010"
