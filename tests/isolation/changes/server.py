"""What a test changes outside its database: the server has one of each."""

from isolation.changes.change import Change, needing

SUPERUSER = needing("superuser")

CHANGES = [
    Change("create a role", "CREATE ROLE somebody LOGIN", needs=SUPERUSER, undo=("DROP ROLE somebody",)),
    Change("create a role that owns a table", (
        "CREATE ROLE owner_of_one", "CREATE TABLE theirs (id int)", "ALTER TABLE theirs OWNER TO owner_of_one",
    ), needs=SUPERUSER, undo=("DROP OWNED BY owner_of_one", "DROP ROLE owner_of_one")),
    Change("create a role with rights", (
        "CREATE ROLE reader", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    ), needs=SUPERUSER, undo=("DROP OWNED BY reader", "DROP ROLE reader")),
    Change("change what a role may do", "ALTER ROLE postgres CREATEDB", needs=SUPERUSER,
        undo=("ALTER ROLE postgres NOCREATEDB",)),
    Change("set a password", "ALTER ROLE postgres PASSWORD 'x'", needs=SUPERUSER,
        undo=("ALTER ROLE postgres PASSWORD NULL",)),
    Change("limit the connections of a role", "ALTER ROLE postgres CONNECTION LIMIT 50", needs=SUPERUSER,
        undo=("ALTER ROLE postgres CONNECTION LIMIT -1",)),
    Change("make a role a member of another", "GRANT pg_monitor TO postgres", needs=SUPERUSER,
        undo=("REVOKE pg_monitor FROM postgres",)),
    Change("set for a role", "ALTER ROLE postgres SET work_mem = '1MB'", undo=("ALTER ROLE postgres RESET ALL",)),
    Change("set for everybody", "ALTER ROLE ALL SET work_mem = '1MB'", needs=SUPERUSER,
        undo=("ALTER ROLE ALL RESET work_mem",)),
    Change("comment on a role", "COMMENT ON ROLE postgres IS 'tests'", needs=SUPERUSER,
        undo=("COMMENT ON ROLE postgres IS NULL",)),
    Change("alter the system", "ALTER SYSTEM SET work_mem = '2MB'", needs=SUPERUSER,
        undo=("ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")),
    Change("alter the system and reload", ("ALTER SYSTEM SET work_mem = '2MB'", "SELECT pg_reload_conf()"),
        needs=SUPERUSER, undo=("ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")),
    Change("grant a right on a setting", "GRANT SET ON PARAMETER log_statement TO postgres", needs=SUPERUSER,
        undo=("REVOKE SET ON PARAMETER log_statement FROM postgres",)),
    Change("create another database", "CREATE DATABASE left_over STRATEGY file_copy", needs=SUPERUSER,
        undo=("DROP DATABASE left_over",)),
    Change("create a replication slot", "SELECT pg_create_physical_replication_slot('left_slot')",
        needs=needing("superuser", "slots"), undo=("SELECT pg_drop_replication_slot('left_slot')",)),
    Change("create a logical replication slot", "SELECT pg_create_logical_replication_slot('left_logical', 'pgoutput')",
        needs=needing("superuser", "logical"), undo=("SELECT pg_drop_replication_slot('left_logical')",)),
    Change("create a replication origin", "SELECT pg_replication_origin_create('left_origin')",
        needs=SUPERUSER, undo=("SELECT pg_replication_origin_drop('left_origin')",)),
]  # fmt: skip
