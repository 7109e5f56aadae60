"""Run the migrations on the connection or the URL that the caller gives, else on the shop's own."""

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from shop.models import Base
from shop.settings import Settings


def migrate(connection: Connection) -> None:
    """Run every wanted revision in one transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


def database_url() -> str:
    """Return ``sqlalchemy.url`` of the configuration, else the shop's own setting."""
    configured = context.config.get_main_option("sqlalchemy.url")
    return configured or Settings.from_environment().url_for("psycopg")


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
elif context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    context.run_migrations()
else:
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        migrate(connection)
