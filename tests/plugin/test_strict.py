"""``--pg-strict`` and ``--pg-prove``."""

UNTIDY = """
import threading

def test_open_transaction(pg):
    connection = pg.connect()
    connection.execute("SELECT 1")

def test_lock(pg):
    connection = pg.connect(autocommit=True)
    connection.execute("SELECT pg_advisory_lock(7)")

def run(connection):
    try:
        connection.execute("SELECT pg_sleep(30)")
    except Exception:
        pass

def test_running_query(pg):
    connection = pg.connect(autocommit=True)
    threading.Thread(target=run, args=(connection,), daemon=True).start()
    watcher = pg.connect(autocommit=True)
    seen = "SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'"
    while not watcher.execute(seen).fetchone():
        pass

def test_tidy(pg, pg_conn):
    pg_conn.execute("INSERT INTO item (name) VALUES ('x')")
    with pg.connect() as other:
        other.execute("INSERT INTO item (name) VALUES ('y')")
"""
NEXT = """
def test_zz_next(pg_conn):
    assert pg_conn.execute("SELECT count(*) FROM item").fetchone() == (1,)
"""
CLEAN = """
def test_rows(pg_conn):
    pg_conn.execute("INSERT INTO item (name) VALUES ('x')")
    pg_conn.execute("UPDATE item SET name = 'changed'")
    pg_conn.commit()

def test_schema(pg_conn):
    pg_conn.execute("CREATE TABLE debris (id int)")
    pg_conn.commit()

@pytest.mark.pg(isolation="rollback")
def test_rolled_back(pg_conn):
    pg_conn.execute("INSERT INTO item (name) VALUES ('x')")
"""


def test_a_strict_run_fails_tests_that_leave_something_open_and_names_the_line(suite):
    suite.tests(UNTIDY)
    outcome = suite.run("--pg-strict")
    assert outcome.counts == {"passed": 4, "errors": 3}, outcome.text
    assert outcome.text.count("FPG-D05 a test left something open") >= 3
    for words in ("test_it.py:6: SELECT 1", "1 advisory lock", "test_it.py:10", "pg_sleep(30)"):
        assert words in outcome.text


def test_without_it_the_same_tests_pass_and_the_next_starts_afresh(suite):
    suite.tests(UNTIDY + NEXT)
    outcome = suite.run()
    assert outcome.counts == {"passed": 5}, outcome.text


def test_a_run_that_proves_each_database_passes_and_says_nothing(suite):
    suite.tests(CLEAN)
    suite.write("pytest.ini", "[pytest]\npg_prove = true\n")
    outcome = suite.run()
    assert outcome.counts == {"passed": 3}, outcome.text
    assert "FPG-" not in outcome.text


def test_what_the_proof_finds_fails_the_test_and_names_it(suite):
    # A reset that forgets is what the proof is for; freshpg has none to offer, so this one is taught to.
    suite.write(
        "conftest.py",
        """
        from freshpg.isolation.audit.watch import Watch

        def forget(self, name):
            auditor = self._of(name)
            return auditor._proven(auditor.audit(), auditor.baseline)

        Watch.settle = forget
        """.replace("\n        ", "\n"),
    )
    suite.tests(CLEAN.partition("def test_schema")[0])
    outcome = suite.run_apart("--pg-prove")
    assert outcome.counts == {"passed": 1, "errors": 1}, outcome.text
    assert "FPG-D06 a database differs from its template" in outcome.text
    assert "public.item" in outcome.text


ESCAPED = """
import psycopg

@pytest.mark.pg(isolation="rollback")
def test_guilty(pg, pg_conn):
    pg_conn.execute("INSERT INTO item (name) VALUES ('mine')")
    with psycopg.connect(pg.url) as other:
        other.execute("INSERT INTO item (name) VALUES ('escaped')")

@pytest.mark.pg(isolation="rollback")
def test_innocent(pg_conn):
    assert pg_conn.execute("SELECT count(*) FROM item").fetchone() == (1,)
"""


def test_a_commit_that_escaped_a_rollback_is_told_of_the_guilty_test_and_undone(suite):
    suite.tests(ESCAPED)
    outcome = suite.run("-W", "default")
    assert outcome.counts == {"passed": 2, "warnings": 1}, outcome.text
    assert "test_guilty has isolation 'rollback', and yet something was committed" in outcome.text
    assert "public.item +1" in outcome.text


def test_a_strict_run_fails_the_guilty_test(suite):
    suite.tests(ESCAPED)
    outcome = suite.run("--pg-strict")
    assert outcome.counts == {"passed": 2, "errors": 1}, outcome.text
    assert "ERROR test_it.py::test_guilty" in outcome.text
