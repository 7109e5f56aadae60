"""Who changed what: one trigger function for every audited table."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"

AUDITED = {"products": "sku", "stock_levels": "product_id", "coupons": "code", "customers": "id"}
RECORD_CHANGE = """
CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - 'search' END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - 'search' END;
BEGIN
    IF before IS DISTINCT FROM after THEN
        INSERT INTO audit_log (table_name, row_key, operation, before, after, actor)
        VALUES (TG_TABLE_NAME, coalesce(after, before) ->> TG_ARGV[0], lower(TG_OP),
                before, after,
                coalesce(nullif(current_setting('shop.actor', true), ''), session_user));
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create the log and watch the tables people change by hand."""
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("row_key", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("before", JSONB),
        sa.Column("after", JSONB),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_table_name_row_key", "audit_log", ["table_name", "row_key"])
    op.execute(RECORD_CHANGE)
    for table, key in AUDITED.items():
        op.execute(
            f"CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION record_change('{key}')"
        )


def downgrade() -> None:
    """Stop watching and forget."""
    for table in AUDITED:
        op.execute(f"DROP TRIGGER record_change ON {table}")
    op.execute("DROP FUNCTION record_change()")
    op.drop_table("audit_log")
