"""The usual way without freshpg: create a database and run the migrations, for every test.

``SHOP_TEST_MODE=plain SHOP_ADMIN_URL=postgresql://… pytest`` runs the same tests this way, for
comparison.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from alembic import command
from alembic.config import Config
from psycopg.sql import SQL, Identifier

ALEMBIC_INI = Path(__file__).parents[1] / "alembic.ini"
numbers = itertools.count(1)


@dataclass(frozen=True)
class PlainDatabase:
    """As much of freshpg's ``Database`` as the shop's tests use."""

    name: str
    url: str

    def url_for(self, dialect: str) -> str:
        """Return the URL with SQLAlchemy's name of a driver, if one is asked for."""
        driver = dialect.removeprefix("sqlalchemy") if "+" in dialect else ""
        return self.url.replace("postgresql://", f"postgresql{driver}://")

    def connect(self, **options: object) -> psycopg.Connection:
        """Open a psycopg connection."""
        return psycopg.connect(self.url, **options)

    async def aconnect(self, **options: object) -> psycopg.AsyncConnection:
        """Open an asynchronous psycopg connection."""
        return await psycopg.AsyncConnection.connect(self.url, **options)


@contextmanager
def created_and_migrated() -> Iterator[PlainDatabase]:
    """Create a database, run every migration, and drop it in the end."""
    admin_url = os.environ["SHOP_ADMIN_URL"]
    name = f"shop_plain_{os.getpid()}_{next(numbers)}"
    url = urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            database = PlainDatabase(name, url)
            migrate(database)
            yield database
        finally:
            admin.execute(SQL("DROP DATABASE {}").format(Identifier(name)))


def migrate(database: PlainDatabase) -> None:
    """Run every migration."""
    config = Config(ALEMBIC_INI)
    config.set_main_option("sqlalchemy.url", database.url_for("sqlalchemy+psycopg"))
    command.upgrade(config, "head")
