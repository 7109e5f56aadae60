"""Factories of polyfactory and factory_boy, whatever they build."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

import factory
import pytest
from factory.alchemy import SQLAlchemyModelFactory
from polyfactory.factories import DataclassFactory, TypedDictFactory
from polyfactory.factories.pydantic_factory import ModelFactory
from polyfactory.factories.sqlalchemy_factory import SQLAlchemyFactory
from pydantic import BaseModel
from sqlalchemy import Enum, ForeignKey, Numeric, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from freshpg.data.factories import table_names
from freshpg.errors import DataInvalid, UsageInvalid


@dataclass
class Customer:
    id: int
    email: str
    country: str = "at"
    mood: str = "fine"


class Cart(BaseModel):
    note: str
    total: Decimal


class Tenant(TypedDict):
    id: int
    name: str


class Base(DeclarativeBase):
    pass


class MappedCustomer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    country: Mapped[str] = mapped_column(Text)
    mood: Mapped[str] = mapped_column(Enum("fine", "so so", name="mood"))


class MappedCart(Base):
    __tablename__ = "cart"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    note: Mapped[str | None]
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default="0")
    customer: Mapped[MappedCustomer] = relationship()


class CustomerFactory(DataclassFactory[Customer]):
    __use_defaults__ = True


class CartFactory(ModelFactory[Cart]):
    total = Decimal("1.50")


class TenantFactory(TypedDictFactory[Tenant]): ...


class MappedCartFactory(SQLAlchemyFactory[MappedCart]):
    __set_relationships__ = False
    __set_primary_key__ = False
    __set_foreign_keys__ = False
    total = Decimal("1.50")


class BoyCustomer(factory.Factory):
    class Meta:
        model = Customer

    id = factory.Sequence(int)
    email = factory.Sequence(lambda n: f"boy{n}@example.org")


class BoyMappedCustomer(SQLAlchemyModelFactory):
    class Meta:
        model = MappedCustomer

    email = factory.Sequence(lambda n: f"mapped{n}@example.org")
    country = "at"
    mood = "fine"


class BoyMappedCart(SQLAlchemyModelFactory):
    class Meta:
        model = MappedCart

    customer = factory.SubFactory(BoyMappedCustomer)


@pytest.mark.parametrize("made_by", [CustomerFactory, BoyCustomer])
def test_what_a_factory_builds_becomes_a_row_with_a_key_of_the_server(data, made_by):
    row = data.create(made_by, email="ada@example.org")

    assert (row["id"], row["email"]) == (1, "ada@example.org")
    assert len(data.create(made_by, 3)) == 3
    data.assert_count("customer", 4)


def test_a_key_that_the_test_says_is_kept(data):
    assert data.create(BoyCustomer, id=70)["id"] == 70


def test_pydantic_models_and_typed_dictionaries(data):
    cart = data.create(CartFactory, with_parents=True)
    tenant = data.create(TenantFactory, name="a")

    assert cart["total"] == Decimal("1.50")
    data.assert_rows("tenant", [tenant])


def test_the_table_may_be_named(data):
    assert data.create(TenantFactory, table="tenant", id=5)["id"] == 5
    with pytest.raises(DataInvalid, match="name"):
        data.create(TenantFactory, table="node")


def test_a_class_without_a_table_says_how_to_name_one(data):
    @dataclass
    class Nobody:
        id: int

    with pytest.raises(DataInvalid, match="of nobody, nobodies, none exists"):
        data.create(DataclassFactory.create_factory(Nobody))


@dataclass
class Profile:
    customer: Customer
    bio: str


@dataclass
class Transfer:
    sender: Customer
    receiver: Customer


class BoyTransfer(factory.Factory):
    class Meta:
        model = Transfer

    sender = factory.SubFactory(BoyCustomer)
    receiver = factory.SubFactory(BoyCustomer)


def test_an_object_inside_another_becomes_the_row_that_it_refers_to(data):
    class ProfileFactory(DataclassFactory[Profile]):
        customer = CustomerFactory

    first = data.create(ProfileFactory, bio="mine")
    transfers = data.create(BoyTransfer, 2)

    assert data.rows("customer", columns=["id"])[0] == {"id": first["customer_id"]}
    assert len({row[side] for row in transfers for side in ("sender", "receiver")}) == 4


def test_an_object_that_several_share_becomes_one_row(data):
    ada = Customer(0, "ada@example.org")
    bob = Customer(0, "bob@example.org")
    data.create(BoyTransfer, 2, sender=ada, receiver=bob)

    data.assert_rows("customer", [{"email": "ada@example.org"}, {"email": "bob@example.org"}])
    data.assert_count("transfer", 2)


def test_an_object_that_no_foreign_key_leads_to_is_named(data):
    @dataclass
    class Node:
        id: int
        owner: Customer

    with pytest.raises(DataInvalid, match="no foreign keys lead from there to customer"):
        data.create(DataclassFactory.create_factory(Node, owner=CustomerFactory))
    data.assert_count("customer", 0)


@pytest.mark.parametrize(
    "name, tables",
    [
        ("Cart", ("cart", "carts")),
        ("CartItem", ("cart_item", "cart_items")),
        ("HTTPBox", ("http_box", "http_boxes")),
        ("Country", ("country", "countries")),
        ("Day", ("day", "days")),
    ],
)
def test_a_table_may_be_called_in_the_plural(name, tables):
    assert table_names(name) == tables


def test_mapped_objects_are_stored_and_returned(data, fetch):
    cart = data.create(MappedCartFactory, with_parents=True)

    assert isinstance(cart, MappedCart)
    assert fetch("SELECT id, customer_id FROM cart") == [(cart.id, cart.customer_id)]
    assert data.clear()["public.cart"] == 1
    data.assert_count("customer", 0)


def test_what_mapped_objects_relate_to_is_stored_with_them(data):
    carts = data.create(BoyMappedCart, 2)

    assert len({cart.customer.email for cart in carts}) == 2
    assert carts[0].total == 0
    assert data.clear() == {"public.customer": 2, "public.cart": 2}


def test_a_related_object_is_no_missing_parent(data):
    data.create(BoyMappedCart, with_parents=True)

    data.assert_count("customer", 1)


def test_a_session_of_the_test_is_flushed_and_its_own_to_commit(data, database):
    from sqlalchemy import create_engine

    engine = create_engine(database.url_for("sqlalchemy+psycopg"))
    with Session(engine) as session:
        inside = data.on(session)
        cart = inside.create(BoyMappedCart)
        assert cart in session
        inside.assert_count("cart", 1)
        inside.insert("node", {"id": 1})
        session.rollback()
    engine.dispose()

    data.assert_count("cart", 0)
    data.assert_count("node", 0)


def test_under_rollback_a_session_must_be_given(data):
    data.database.isolation = "rollback"
    with pytest.raises(UsageInvalid, match="pg_session"):
        data.create(BoyMappedCart)
    data.database.isolation = "reset"


@pytest.mark.parametrize("thing", [Customer, object(), int])
def test_what_is_no_factory_is_refused(data, thing):
    with pytest.raises(UsageInvalid, match="build"):
        data.create(thing)


@pytest.mark.parametrize("thing", [object(), "postgresql://"])
def test_what_is_no_connection_is_refused(data, thing):
    with pytest.raises(UsageInvalid, match="psycopg"):
        data.on(thing)
