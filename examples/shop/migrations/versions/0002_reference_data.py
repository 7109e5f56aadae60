"""Countries with their VAT, and ways to send a parcel."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COUNTRIES = [
    ("AT", "Austria", "0.200"),
    ("BE", "Belgium", "0.210"),
    ("CH", "Switzerland", "0.081"),
    ("DE", "Germany", "0.190"),
    ("FR", "France", "0.200"),
    ("LU", "Luxembourg", "0.170"),
    ("NL", "Netherlands", "0.210"),
]
SHIPPING_METHODS = [
    ("pickup", "Collect it at the shop", 0, None),
    ("parcel", "Parcel", 490, 5000),
    ("express", "Express courier", 1290, None),
]


def upgrade() -> None:
    """Create both tables, fill them, and give every customer a country."""
    countries = op.create_table(
        "countries",
        sa.Column("code", sa.String(2), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("vat_rate", sa.Numeric(4, 3), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_countries"),
    )
    shipping_methods = op.create_table(
        "shipping_methods",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price_cents", sa.BigInteger, nullable=False),
        sa.Column("free_from_cents", sa.BigInteger),
        sa.PrimaryKeyConstraint("code", name="pk_shipping_methods"),
    )
    op.bulk_insert(
        countries,
        [{"code": code, "name": name, "vat_rate": vat_rate} for code, name, vat_rate in COUNTRIES],
    )
    op.bulk_insert(
        shipping_methods,
        [
            {"code": code, "name": name, "price_cents": price, "free_from_cents": free_from}
            for code, name, price, free_from in SHIPPING_METHODS
        ],
    )
    op.add_column(
        "customers",
        sa.Column("country_code", sa.String(2), nullable=False, server_default="DE"),
    )
    op.alter_column("customers", "country_code", server_default=None)
    op.create_foreign_key(
        "fk_customers_country_code", "customers", "countries", ["country_code"], ["code"]
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_column("customers", "country_code")
    op.drop_table("shipping_methods")
    op.drop_table("countries")
