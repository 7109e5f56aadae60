"""The fixture ``pg_faulty`` in a user's suite."""


def test_pg_faulty_is_the_database_of_pg_behind_a_bad_connection(suite):
    suite.tests(
        """
        import psycopg

        def test_it(pg, pg_faulty):
            with psycopg.connect(pg_faulty.url, autocommit=True) as connection:
                connection.execute("INSERT INTO item (name) VALUES ('through the proxy')")
                pg_faulty.cut()
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
            with pg.connect() as direct:
                assert direct.execute("SELECT count(*) FROM item").fetchone() == (2,)

        def test_the_next_finds_it_clean(pg_conn):
            assert pg_conn.execute("SELECT count(*) FROM item").fetchone() == (1,)
        """.replace("\n        ", "\n")
    )

    outcome = suite.run("--pg-strict", "-p", "no:randomly")

    assert outcome.counts == {"passed": 2}, outcome.text
