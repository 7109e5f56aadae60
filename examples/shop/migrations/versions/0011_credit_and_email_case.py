"""Buy now, pay later, up to a limit; Ada@ and ada@ are one person."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Give customers a credit limit and make their address unique without regard to case."""
    op.add_column(
        "customers",
        sa.Column("credit_limit_cents", sa.BigInteger, nullable=False, server_default="100000"),
    )
    op.create_check_constraint(
        op.f("ck_customers_credit_limit_not_negative"), "customers", "credit_limit_cents >= 0"
    )
    op.create_index(
        "ix_orders_unpaid", "orders", ["customer_id"], postgresql_where=sa.text("status = 'placed'")
    )
    op.drop_constraint("uq_customers_email", "customers")
    op.create_index("uq_customers_email", "customers", [sa.text("lower(email)")], unique=True)


def downgrade() -> None:
    """Go back to cash and to exact addresses."""
    op.drop_index("uq_customers_email", "customers")
    op.create_unique_constraint("uq_customers_email", "customers", ["email"])
    op.drop_index("ix_orders_unpaid", "orders")
    op.drop_column("customers", "credit_limit_cents")
