"""Money that goes back, never more than came in; answers that can be given twice."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"

LIMIT_REFUNDS = """
CREATE FUNCTION limit_refunds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid bigint;
    refunded bigint;
BEGIN
    PERFORM FROM orders WHERE id = NEW.order_id FOR UPDATE;
    SELECT coalesce(sum(amount_cents), 0) INTO paid FROM payments WHERE order_id = NEW.order_id;
    SELECT sum(amount_cents) INTO refunded FROM refunds WHERE order_id = NEW.order_id;
    IF refunded > paid THEN
        RAISE EXCEPTION 'refunds of % exceed payments of %', refunded, paid
            USING ERRCODE = 'check_violation', CONSTRAINT = 'limit_refunds', TABLE = 'refunds';
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create refunds with their deferred limit, and the keys."""
    op.create_table(
        "refunds",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column(
            "refunded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_refunds"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], ondelete="RESTRICT", name="fk_refunds_order_id"
        ),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_refunds_amount_positive")),
    )
    op.create_index("ix_refunds_order_id", "refunds", ["order_id"])
    op.execute(LIMIT_REFUNDS)
    op.execute(
        "CREATE CONSTRAINT TRIGGER limit_refunds AFTER INSERT OR UPDATE ON refunds"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION limit_refunds()"
    )
    op.drop_constraint(op.f("ck_orders_status"), "orders")
    op.create_check_constraint(
        op.f("ck_orders_status"), "orders", "status IN ('placed', 'paid', 'cancelled', 'refunded')"
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("response", JSONB),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_keys"),
    )


def downgrade() -> None:
    """Drop them; a refunded order makes this fail, as it should."""
    op.drop_table("idempotency_keys")
    op.drop_constraint(op.f("ck_orders_status"), "orders")
    op.create_check_constraint(
        op.f("ck_orders_status"), "orders", "status IN ('placed', 'paid', 'cancelled')"
    )
    op.drop_table("refunds")
    op.execute("DROP FUNCTION limit_refunds()")
