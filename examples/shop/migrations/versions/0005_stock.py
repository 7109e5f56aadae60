"""Stock and reservations; a trigger keeps the sum of what is reserved."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

COUNT_RESERVED = """
CREATE FUNCTION count_reserved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        UPDATE stock_levels SET reserved = reserved - OLD.quantity
         WHERE product_id = OLD.product_id;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        UPDATE stock_levels SET reserved = reserved + NEW.quantity
         WHERE product_id = NEW.product_id;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create both tables and the trigger; the constraints guard every writer alike."""
    op.create_table(
        "stock_levels",
        sa.Column("product_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("on_hand", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("product_id", name="pk_stock_levels"),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], ondelete="CASCADE", name="fk_stock_levels_product_id"
        ),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_stock_levels_reserved_not_negative")),
        sa.CheckConstraint("reserved <= on_hand", name=op.f("ck_stock_levels_enough_on_hand")),
    )
    op.create_table(
        "stock_reservations",
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.func.gen_random_uuid()),
        sa.Column("product_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stock_reservations"),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["stock_levels.product_id"],
            ondelete="CASCADE",
            name="fk_stock_reservations_product_id",
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_stock_reservations_quantity_positive")),
    )
    op.create_index("ix_stock_reservations_product_id", "stock_reservations", ["product_id"])
    op.create_index("ix_stock_reservations_expires_at", "stock_reservations", ["expires_at"])
    op.execute(COUNT_RESERVED)
    op.execute(
        "CREATE TRIGGER count_reserved AFTER INSERT OR UPDATE OR DELETE ON stock_reservations"
        " FOR EACH ROW EXECUTE FUNCTION count_reserved()"
    )
    op.execute("INSERT INTO stock_levels (product_id) SELECT id FROM products")


def downgrade() -> None:
    """Drop them."""
    op.drop_table("stock_reservations")
    op.drop_table("stock_levels")
    op.execute("DROP FUNCTION count_reserved()")
