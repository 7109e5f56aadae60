"""Settings and rights that belong to this database."""

from isolation.changes.change import Change, needing


def _here(statement):
    """The statement with the database's own name for ``%I``, which differs from clone to clone."""
    quoted = statement.replace("'", "''")
    return f"DO $$ BEGIN EXECUTE format('{quoted}', current_database()); END $$"


CHANGES = [
    Change("set for the database", _here("ALTER DATABASE %I SET work_mem = '1MB'")),
    Change("set for a role in the database", (
        _here("ALTER ROLE postgres IN DATABASE %I SET work_mem = '1MB'")
    )),
    Change("limit connections", _here("ALTER DATABASE %I CONNECTION LIMIT 40")),
    Change("comment on the database", (
        _here("COMMENT ON DATABASE %I IS 'mine'")
    )),
    Change("give the database to another role", (
        _here("ALTER DATABASE %I OWNER TO pg_monitor")
    ), needs=needing("superuser")),
    Change("take a right on the database away", (
        _here("REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC")
    )),
    Change("grant a right on the database", (
        _here("GRANT CREATE ON DATABASE %I TO pg_monitor")
    )),
    Change("grant a right on a table", "GRANT SELECT ON customer TO PUBLIC"),
    Change("take a right on a table away", "REVOKE INSERT ON customer FROM postgres"),
    Change("grant a right on a column", "GRANT UPDATE (notes) ON customer TO PUBLIC"),
    Change("grant a right on a schema", "GRANT CREATE ON SCHEMA extra TO PUBLIC"),
    Change("grant a right on a sequence", "GRANT USAGE ON SEQUENCE ticket TO PUBLIC"),
    Change("take a right on a function away", "REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC"),
    Change("take a right on a type away", "REVOKE USAGE ON TYPE mood FROM PUBLIC"),
    Change("grant a right on a large object", "GRANT SELECT ON LARGE OBJECT 4242 TO PUBLIC"),
    Change("take a right on a language away", "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
        needs=needing("superuser")),
    Change("take a right on a built-in function away", "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC",
        needs=needing("superuser")),
    Change("change rights that new tables start with",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC"),
    Change("change rights that new functions start with",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"),
    Change("give a table to another role", "ALTER TABLE basket OWNER TO pg_monitor", needs=needing("superuser")),
    Change("label a table for a security provider", (
        "INSERT INTO pg_catalog.pg_seclabel SELECT 'basket'::regclass, 'pg_class'::regclass, 0, 'dummy', 'secret'"
    ), needs=needing("superuser")),
]  # fmt: skip
