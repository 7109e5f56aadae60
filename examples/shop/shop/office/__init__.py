"""The back office: synchronous, on psycopg; people and nightly jobs use it."""
