"""Money moves, for real: committed, and seen from another connection."""

import psycopg
import pytest


def transfer(connection: psycopg.Connection, source: str, target: str, cents: int) -> None:
    with connection.transaction():
        connection.execute(
            "INSERT INTO accounts (owner, cents) VALUES (%s, %s)"
            " ON CONFLICT (owner) DO UPDATE SET cents = accounts.cents + excluded.cents",
            (target, cents),
        )
        connection.execute(
            "UPDATE accounts SET cents = cents - %s WHERE owner = %s", (cents, source)
        )


def balances(connection: psycopg.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT owner, cents FROM accounts"))


def test_every_test_begins_with_the_schema_and_its_data(pg_conn):
    assert balances(pg_conn) == {"bank": 1_000_000}


def test_what_is_committed_is_seen_from_another_connection(pg):
    with pg.connect(autocommit=True) as one, pg.connect() as other:
        transfer(one, "bank", "ada", 500)

        assert balances(other) == {"bank": 999_500, "ada": 500}


def test_it_is_gone_in_the_next_test_and_numbers_begin_again(pg_conn):
    transfer(pg_conn, "bank", "bob", 1)

    assert pg_conn.execute("SELECT id FROM accounts WHERE owner = 'bob'").fetchone() == (2,)


def test_nobody_spends_what_is_not_there(pg):
    with pg.connect(autocommit=True) as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            transfer(connection, "bank", "ada", 1_000_001)

        assert balances(connection) == {"bank": 1_000_000}


@pytest.mark.pg(isolation="clone")
def test_a_test_may_even_drop_the_table(pg_conn):
    pg_conn.execute("DROP TABLE accounts")
    pg_conn.commit()
