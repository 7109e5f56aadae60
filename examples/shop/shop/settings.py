"""What the shop must be told before it can start."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Where the database is and how many connections the web application may hold."""

    database_url: str
    """``postgresql://`` URL without a driver; each part of the shop adds its own."""
    pool_size: int = 5

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read ``SHOP_DATABASE_URL`` and ``SHOP_POOL_SIZE``.

        :raises KeyError: ``SHOP_DATABASE_URL`` is not set.
        """
        return cls(
            database_url=os.environ["SHOP_DATABASE_URL"],
            pool_size=int(os.environ.get("SHOP_POOL_SIZE", cls.pool_size)),
        )

    def url_for(self, driver: str) -> str:
        """Return the URL with SQLAlchemy's name of a driver, such as ``psycopg`` or ``asyncpg``."""
        scheme, _, rest = self.database_url.partition("://")
        return f"{scheme.partition('+')[0]}+{driver}://{rest}"
