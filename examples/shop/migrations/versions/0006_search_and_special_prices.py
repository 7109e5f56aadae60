"""Full-text search, and special prices for a while."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSTZRANGE, TSVECTOR

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Let the database keep the search vector, and keep price periods apart."""
    op.add_column(
        "products",
        sa.Column(
            "search",
            TSVECTOR,
            sa.Computed(
                "setweight(to_tsvector('english', name), 'A') || "
                "setweight(to_tsvector('english', description), 'B')",
                persisted=True,
            ),
            nullable=False,
        ),
    )
    op.create_index("ix_products_search", "products", ["search"], postgresql_using="gin")
    op.create_index(
        "ix_products_category_id_id",
        "products",
        ["category_id", "id"],
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "price_periods",
        sa.Column("id", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("product_id", sa.BigInteger, nullable=False),
        sa.Column("price_cents", sa.BigInteger, nullable=False),
        sa.Column("during", TSTZRANGE, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_price_periods"),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], ondelete="CASCADE", name="fk_price_periods_product_id"
        ),
        sa.CheckConstraint("price_cents > 0", name=op.f("ck_price_periods_price_positive")),
    )
    # A range of one number compares with && what = could only compare with btree_gist.
    op.execute(
        "ALTER TABLE price_periods ADD CONSTRAINT ex_price_periods_overlap EXCLUDE USING gist"
        " (int8range(product_id, product_id, '[]') WITH &&, during WITH &&)"
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("price_periods")
    op.drop_index("ix_products_category_id_id")
    op.drop_column("products", "search")
