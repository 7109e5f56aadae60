import pytest

from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import (
    DatabaseGone,
    LoginRefused,
    ServerDied,
    ServerUnreachable,
    StatementFailed,
    WaitTimedOut,
)
from freshpg.postgres.admin import Admin


def test_answers_come_as_rows_a_row_or_a_value(admin):
    assert admin.rows("SELECT * FROM generate_series(1, %s)", (2,)) == [(1,), (2,)]
    assert admin.one("SELECT 1, 'a'") == (1, "a")
    assert admin.one("SELECT 1 WHERE false") is None
    assert admin.value("SELECT 1 WHERE false") is None


def test_a_prepared_query_is_planned_once_whatever_is_dropped_meanwhile(server):
    query = "SELECT datname::text, $2 + 1 FROM pg_database WHERE datname = $1"
    prepared = "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements"
    with Admin.connect(server) as admin:
        for number in range(3):
            assert admin.prepared(query, "postgres", number) == ("postgres", number + 1)
            assert admin.prepared(query, "it's \\ not there", number) is None
            admin.execute("DROP TABLE IF EXISTS nothing")
        [(statement, plans)] = admin.rows(prepared)
    assert statement.endswith(query)
    assert plans == 6


def test_every_statement_is_a_transaction_of_its_own(admin):
    admin.execute("SELECT 1")
    state = "SELECT state FROM pg_stat_activity WHERE pid = %s"
    with Admin.connect(admin.conninfo) as other:
        assert other.value(state, (admin.pid,)) == "idle"


def test_a_refused_statement_says_what_and_where(admin):
    with pytest.raises(StatementFailed, match=r"SELEC 1") as caught:
        admin.execute("SELEC 1")
    assert caught.value.sqlstate == "42601"


def test_a_statement_ends_at_its_limit(server):
    with Admin.connect(server, statement_timeout=0.02) as admin, pytest.raises(WaitTimedOut):
        admin.execute("SELECT pg_sleep(30)")


def test_an_ended_session_is_told_from_a_refused_statement(admin, server):
    with Admin.connect(server) as other:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (other.pid,))
        with pytest.raises(ServerDied):
            other.value("SELECT 1")


def test_nobody_there(tmp_path):
    with pytest.raises(ServerUnreachable):
        Admin.connect(Conninfo(host=str(tmp_path), user="x", dbname="y"))


def test_an_unknown_role_is_a_refused_login(server):
    with pytest.raises(LoginRefused):
        Admin.connect(server.with_(user="nobody_here"))


def test_an_unknown_database_is_named(server):
    with pytest.raises(DatabaseGone, match="no_such_database"):
        Admin.connect(server.with_(dbname="no_such_database"))


def test_a_password_is_never_shown(server):
    secret = "correct-horse"
    with pytest.raises(LoginRefused) as caught:
        Admin.connect(server.with_(user="nobody_here", password=secret))
    assert secret not in str(caught.value)
    with (
        Admin.connect(server.with_(password=secret)) as admin,
        pytest.raises(StatementFailed) as caught,
    ):
        admin.execute(f"ALTER ROLE nobody_here PASSWORD '{secret}'")
    assert secret not in str(caught.value)


def test_the_system_identifier_tells_clusters_apart(admin):
    assert int(admin.system) > 0


@pytest.mark.parametrize("asked", ["connect_timeout", "application_name", "client_encoding"])
def test_what_an_address_asks_of_sessions_does_not_meet_what_control_needs(server, asked):
    values = {"connect_timeout": "3", "application_name": "theirs", "client_encoding": "LATIN1"}
    address = server.with_(params=((asked, values[asked]),))
    with Admin.connect(address, application_name="control") as admin:
        assert admin.value("SHOW application_name") == "control"
        assert admin.value("SHOW client_encoding") == "UTF8"
