from postgres_server import admin, server

__all__ = ["admin", "server"]
