"""Prices become whole cents, like every other amount."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Convert the column in place and demand a price."""
    op.alter_column(
        "products",
        "price",
        new_column_name="price_cents",
        type_=sa.BigInteger,
        postgresql_using="(price * 100)::bigint",
    )
    op.create_check_constraint(op.f("ck_products_price_positive"), "products", "price_cents > 0")


def downgrade() -> None:
    """Go back to euros with two decimals."""
    op.drop_constraint(op.f("ck_products_price_positive"), "products")
    op.alter_column(
        "products",
        "price_cents",
        new_column_name="price",
        type_=sa.Numeric(10, 2),
        postgresql_using="price_cents / 100.0",
    )
