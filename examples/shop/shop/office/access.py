"""Who may look at the figures without being able to change them."""

from psycopg import Connection
from psycopg.sql import SQL, Identifier

REPORTS = ("daily_sales", "orders", "order_lines", "products", "categories")


def create_analyst(connection: Connection, role: str) -> None:
    """Create a role that reads what reports are made of, and nothing about customers.

    Roles belong to the whole server, not to the shop's database.
    """
    name = Identifier(role)
    with connection.transaction():
        connection.execute(SQL("CREATE ROLE {} NOLOGIN").format(name))
        connection.execute(SQL("GRANT USAGE ON SCHEMA public TO {}").format(name))
        for table in REPORTS:
            connection.execute(SQL("GRANT SELECT ON {} TO {}").format(Identifier(table), name))
