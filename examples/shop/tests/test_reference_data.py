"""What the migrations bring along. These tests only read, so they share one database."""

from decimal import Decimal

import psycopg
import pytest
from sqlalchemy.orm import Session

from shop import catalog

pytestmark = [pytest.mark.pg(isolation="readonly"), pytest.mark.needs_freshpg]


def test_every_country_has_its_vat(witness):
    rates = dict(witness.execute("SELECT code, vat_rate FROM countries"))

    assert rates["DE"] == Decimal("0.190")
    assert len(rates) == 7


def test_only_the_parcel_can_be_free(witness):
    (free,) = witness.execute("SELECT code FROM shipping_methods WHERE free_from_cents IS NOT NULL")

    assert free == ("parcel",)


def test_the_categories_are_a_tree(engine):
    with Session(engine) as session:
        path = list(session.scalars(catalog.breadcrumbs("crime")))

    assert path == ["books", "fiction", "crime"]


def test_the_shop_opens_without_anybody_in_it(ask):
    assert ask("SELECT count(*) FROM customers") == 0


def test_writing_is_refused(witness):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        witness.execute("INSERT INTO customers (email, name, country_code) VALUES ('a', 'A', 'DE')")
