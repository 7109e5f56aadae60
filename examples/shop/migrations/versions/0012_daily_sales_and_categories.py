"""A materialised report of sales a day, and the categories the shop opens with."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

DAILY_SALES = """
CREATE MATERIALIZED VIEW daily_sales AS
SELECT (o.placed_at AT TIME ZONE 'UTC')::date AS day,
       o.country_code,
       count(*) AS orders,
       sum(o.total_cents)::bigint AS total_cents
  FROM orders o
 WHERE o.status IN ('placed', 'paid')
 GROUP BY 1, 2
"""
CATEGORIES = [
    ("books", "Books", None),
    ("fiction", "Fiction", "books"),
    ("crime", "Crime", "fiction"),
    ("non-fiction", "Non-fiction", "books"),
    ("games", "Games", None),
    ("board-games", "Board games", "games"),
    ("puzzles", "Puzzles", "games"),
]


def upgrade() -> None:
    """Create the view with a key, so it can be refreshed while it is read."""
    op.execute(DAILY_SALES)
    op.execute("CREATE UNIQUE INDEX uq_daily_sales ON daily_sales (day, country_code)")
    insert = sa.text(
        "INSERT INTO categories (slug, name, parent_id)"
        " VALUES (:slug, :name, (SELECT id FROM categories WHERE slug = :parent))"
    )
    connection = op.get_bind()
    for slug, name, parent in CATEGORIES:
        connection.execute(insert, {"slug": slug, "name": name, "parent": parent})


def downgrade() -> None:
    """Drop the view; keep categories that have come into use."""
    op.execute("DROP MATERIALIZED VIEW daily_sales")
    connection = op.get_bind()
    delete = sa.text(
        "DELETE FROM categories c WHERE slug = :slug"
        " AND NOT EXISTS (SELECT FROM products p WHERE p.category_id = c.id)"
    )
    for slug, _, _ in reversed(CATEGORIES):
        connection.execute(delete, {"slug": slug})
