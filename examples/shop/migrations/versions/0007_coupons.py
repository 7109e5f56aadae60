"""Coupons: a percentage or an amount, for a while, for so many orders, once a customer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSTZRANGE

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create coupons and let an order carry a discount."""
    op.create_table(
        "coupons",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("percent_off", sa.Integer),
        sa.Column("amount_off_cents", sa.BigInteger),
        sa.Column(
            "valid_during",
            TSTZRANGE,
            nullable=False,
            server_default=sa.text("'(,)'::tstzrange"),
        ),
        sa.Column("max_uses", sa.Integer),
        sa.Column("used", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("code", name="pk_coupons"),
        sa.CheckConstraint("code = upper(code)", name=op.f("ck_coupons_code_upper_case")),
        sa.CheckConstraint(
            "percent_off BETWEEN 1 AND 100", name=op.f("ck_coupons_percent_sensible")
        ),
        sa.CheckConstraint(
            "num_nonnulls(percent_off, amount_off_cents) = 1", name=op.f("ck_coupons_one_kind")
        ),
        sa.CheckConstraint("used <= max_uses", name=op.f("ck_coupons_not_overused")),
    )
    op.create_table(
        "coupon_redemptions",
        sa.Column("coupon_code", sa.Text, nullable=False),
        sa.Column("customer_id", sa.BigInteger, nullable=False),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("coupon_code", "customer_id", name="pk_coupon_redemptions"),
        sa.UniqueConstraint("order_id", name="uq_coupon_redemptions_order_id"),
        sa.ForeignKeyConstraint(
            ["coupon_code"],
            ["coupons.code"],
            ondelete="RESTRICT",
            name="fk_coupon_redemptions_coupon_code",
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            ondelete="RESTRICT",
            name="fk_coupon_redemptions_customer_id",
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            ondelete="CASCADE",
            name="fk_coupon_redemptions_order_id",
        ),
    )
    op.add_column(
        "orders", sa.Column("discount_cents", sa.BigInteger, nullable=False, server_default="0")
    )
    op.drop_constraint(op.f("ck_orders_total_adds_up"), "orders")
    op.create_check_constraint(
        op.f("ck_orders_total_adds_up"),
        "orders",
        "total_cents = subtotal_cents - discount_cents + shipping_cents",
    )
    op.create_check_constraint(
        op.f("ck_orders_discount_sensible"), "orders", "discount_cents BETWEEN 0 AND subtotal_cents"
    )


def downgrade() -> None:
    """Drop them; an order with a discount makes this fail, as it should."""
    op.drop_constraint(op.f("ck_orders_total_adds_up"), "orders")
    op.create_check_constraint(
        op.f("ck_orders_total_adds_up"), "orders", "total_cents = subtotal_cents + shipping_cents"
    )
    op.drop_column("orders", "discount_cents")
    op.drop_table("coupon_redemptions")
    op.drop_table("coupons")
