"""Selling: carts, orders with a number of their own, payments."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of a sale."""
    op.create_table(
        "carts",
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.func.gen_random_uuid()),
        sa.Column("customer_id", sa.BigInteger, nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_carts"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], ondelete="CASCADE", name="fk_carts_customer_id"
        ),
    )
    op.create_index("ix_carts_customer_id", "carts", ["customer_id"])
    op.create_table(
        "cart_lines",
        sa.Column("cart_id", sa.Uuid, nullable=False),
        sa.Column("product_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("cart_id", "product_id", name="pk_cart_lines"),
        sa.ForeignKeyConstraint(
            ["cart_id"], ["carts.id"], ondelete="CASCADE", name="fk_cart_lines_cart_id"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], ondelete="CASCADE", name="fk_cart_lines_product_id"
        ),
        sa.CheckConstraint(
            "quantity BETWEEN 1 AND 99", name=op.f("ck_cart_lines_quantity_sensible")
        ),
    )
    op.create_index("ix_cart_lines_product_id", "cart_lines", ["product_id"])
    create_orders()
    op.create_table(
        "payments",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.Column("provider_reference", sa.Text, nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("provider_reference", name="uq_payments_provider_reference"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], ondelete="RESTRICT", name="fk_payments_order_id"
        ),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_payments_amount_positive")),
    )
    op.create_index("ix_payments_order_id", "payments", ["order_id"])


def create_orders() -> None:
    """Create orders and their lines; numbers look like ``S-2000001``."""
    op.execute("CREATE SEQUENCE order_number START 2000001")
    op.execute(
        "CREATE FUNCTION next_order_number() RETURNS text LANGUAGE sql VOLATILE"
        " AS $$ SELECT 'S-' || nextval('order_number') $$"
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("number", sa.Text, nullable=False, server_default=sa.text("next_order_number()")),
        sa.Column("customer_id", sa.BigInteger, nullable=False),
        sa.Column("country_code", sa.String(2), nullable=False),
        sa.Column("shipping_code", sa.Text, nullable=False),
        sa.Column("subtotal_cents", sa.BigInteger, nullable=False),
        sa.Column("shipping_cents", sa.BigInteger, nullable=False),
        sa.Column("vat_cents", sa.BigInteger, nullable=False),
        sa.Column("total_cents", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="placed"),
        sa.Column(
            "placed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("number", name="uq_orders_number"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], ondelete="RESTRICT", name="fk_orders_customer_id"
        ),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name="fk_orders_country_code"
        ),
        sa.ForeignKeyConstraint(
            ["shipping_code"], ["shipping_methods.code"], name="fk_orders_shipping_code"
        ),
        sa.CheckConstraint(
            "status IN ('placed', 'paid', 'cancelled')", name=op.f("ck_orders_status")
        ),
        sa.CheckConstraint(
            "total_cents = subtotal_cents + shipping_cents", name=op.f("ck_orders_total_adds_up")
        ),
    )
    op.create_index("ix_orders_customer_id_id", "orders", ["customer_id", "id"])
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("product_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_price_cents", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "position", name="pk_order_lines"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], ondelete="CASCADE", name="fk_order_lines_order_id"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], ondelete="RESTRICT", name="fk_order_lines_product_id"
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_lines_quantity_positive")),
    )
    op.create_index("ix_order_lines_product_id", "order_lines", ["product_id"])


def downgrade() -> None:
    """Drop them, the numbers included."""
    for table in ("payments", "order_lines", "orders", "cart_lines", "carts"):
        op.drop_table(table)
    op.execute("DROP FUNCTION next_order_number()")
    op.execute("DROP SEQUENCE order_number")
