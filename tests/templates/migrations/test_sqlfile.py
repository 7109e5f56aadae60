from contextlib import closing
from pathlib import Path

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import (
    ExtensionMissing,
    MetaCommandRefused,
    MigrationFailed,
    MigrationMissing,
    MigrationTimedOut,
    MigrationUnreadable,
    ServerDied,
)
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.extensions import extension_missing
from freshpg.templates.migrations.sqlfile import SqlFile, SqlFiles


@pytest.fixture
def apply(target: Target, deadline: Deadline):
    def apply(script: str, deadline: Deadline = deadline) -> None:
        (target.root / "schema.sql").write_text(script)
        SqlFile("schema.sql", target.root).apply(target, deadline)

    return apply


def failure(apply, script: str) -> MigrationFailed:
    with pytest.raises(MigrationFailed) as caught:
        apply(script)
    return caught.value


def test_statements_copy_data_and_bodies_arrive(apply, inside: Admin) -> None:
    apply(
        """
        \\set ON_ERROR_STOP on
        CREATE TABLE t (a int, b text);
        CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT x; SELECT CASE WHEN true THEN x * 2 END; END;
        DO $$ BEGIN INSERT INTO t VALUES (0, ';'); END $$;
COPY t FROM stdin;
1	one; 'two
2	\\N
\\.
        COPY t TO stdout;
        INSERT INTO t SELECT twice(4), E'it\\'s'"""
    )
    assert inside.rows("SELECT a, b FROM t ORDER BY a") == [
        (0, ";"),
        (1, "one; 'two"),
        (2, None),
        (8, "it's"),
    ]


def test_each_statement_is_its_own_transaction_so_that_concurrent_indexes_build(
    apply, inside: Admin
) -> None:
    apply(
        "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;\nBEGIN; DROP TABLE t; ROLLBACK;"
    )
    assert inside.value("SELECT count(*) FROM pg_indexes WHERE indexname = 'i'") == 1


def test_escaped_strings_of_an_old_dump_are_read_as_the_server_reads_them(
    apply, inside: Admin
) -> None:
    apply(
        "SET standard_conforming_strings = off;\nSET escape_string_warning = off;\n"
        "CREATE TABLE t AS SELECT 'it\\'s; one'::text AS a;"
    )
    assert inside.value("SELECT a FROM t") == "it's; one"


def test_a_refused_statement_shows_file_line_statement_and_the_servers_words(apply) -> None:
    error = failure(apply, "SELECT 1;\n\nCREATE TABLE t (\n  a int,\n  b nonsense\n);\n")
    assert error.on == "schema.sql:5"
    assert error.data["sqlstate"] == "42704"
    assert error.data["statement"] == "CREATE TABLE t ( a int, b nonsense );"
    assert 'ERROR 42704: type "nonsense" does not exist' in error.seen
    assert error.seen.endswith("    b nonsense\n      ^")


def test_a_place_after_many_bytes_of_text_is_counted_in_characters(apply) -> None:
    error = failure(apply, "SELECT 'ééé\nüüü', \nnonsense;")
    assert error.data["line"] == 3
    assert error.seen.endswith("  nonsense;\n  ^")


def test_detail_and_hint_of_the_server_are_shown(apply) -> None:
    error = failure(apply, "CREATE TABLE t (a int PRIMARY KEY);\nINSERT INTO t VALUES (7), (7);")
    assert "DETAIL: Key (a)=(7) already exists." in error.seen
    assert error.data["detail"] == "Key (a)=(7) already exists."
    assert "statement: INSERT INTO t VALUES (7), (7);" in error.seen
    hinted = failure(apply, "SELECT length(1);")
    assert "HINT: No function matches" in hinted.seen


def test_a_bad_row_in_copy_data_is_named_by_its_line_in_the_file(apply) -> None:
    error = failure(apply, "CREATE TABLE u (a int);\n\nCOPY u FROM stdin;\n1\n2\nthree\n4\n\\.\n")
    assert error.on == "schema.sql:6"
    assert 'invalid input syntax for type integer: "three"' in error.seen


def test_a_refused_copy_does_not_wait_for_its_data(apply) -> None:
    rows = "1\n" * 400_000
    error = failure(apply, f"COPY nowhere FROM stdin;\n{rows}\\.\n")
    assert (error.data["line"], error.data["sqlstate"]) == (1, "42P01")


def test_megabytes_of_copy_data_pass(apply, inside: Admin) -> None:
    rows = "".join(f"{number}\tsome text that makes the row longer\n" for number in range(100_000))
    apply(f"CREATE TABLE t (a int, b text);\nCOPY t FROM stdin;\n{rows}\\.\n")
    assert inside.value("SELECT count(*) FROM t") == 100_000


def test_nothing_after_the_failing_statement_is_sent(apply, inside: Admin) -> None:
    failure(apply, "CREATE TABLE a ();\nSELECT 1/0;\nCREATE TABLE b ();")
    assert inside.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    ) == [("a",)]


def test_a_script_that_forgets_its_commit_is_refused(apply) -> None:
    error = failure(apply, "SELECT 1;\nBEGIN;\nCREATE TABLE t ();\n")
    assert error.data["line"] == 2
    assert "COMMIT" in error.todo[0]


def test_a_lost_connection_is_the_servers_failure_not_the_files(apply) -> None:
    with pytest.raises(ServerDied):
        apply("SELECT pg_terminate_backend(pg_backend_pid());")


@pytest.mark.parametrize("script", ["SELECT '", "\\connect x"])
def test_a_file_that_cannot_be_read_leaves_no_session(apply, script: str) -> None:
    with pytest.raises((MigrationUnreadable, MetaCommandRefused)):
        apply(script)


def test_a_script_that_waits_for_a_lock_is_ended_and_the_holder_named(apply, inside: Admin) -> None:
    inside.execute("CREATE TABLE t (a int)")
    inside.execute("ALTER TABLE t OWNER TO postgres")
    inside.execute("BEGIN")
    inside.execute("LOCK TABLE t")
    with pytest.raises(MigrationTimedOut) as caught:
        apply("SET statement_timeout = 0;\nALTER TABLE t ADD b int;", Deadline(0.3))
    inside.execute("ROLLBACK")
    error = caught.value
    assert error.on == "schema.sql:2"
    assert "waits for Lock/relation" in error.seen
    assert f"held by pid {inside.pid}" in error.seen
    assert "LOCK TABLE t" in error.seen
    assert "statement: ALTER TABLE t ADD b int;" in error.seen
    assert 0.3 <= error.data["seconds"] < 5


def test_a_statement_that_sleeps_is_cancelled_at_the_deadline(apply, inside: Admin) -> None:
    with pytest.raises(MigrationTimedOut) as caught:
        apply("SELECT pg_sleep(600);", Deadline(0.2))
    assert "waits for Timeout/PgSleep" in caught.value.seen


def test_no_statement_is_sent_after_the_deadline(apply) -> None:
    with pytest.raises(MigrationTimedOut):
        apply("SELECT 1;", Deadline(0.0))


def test_what_the_server_was_built_without_points_to_another_provider(apply, inside: Admin) -> None:
    if inside.value("SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'"):
        pytest.skip("this PostgreSQL was built with ICU")
    error = failure(apply, "CREATE COLLATION c (provider = icu, locale = 'und');")
    assert 'server = "system"' in error.todo[0]


class TestExtensions:
    def test_one_that_exists_already_passes_with_a_note(
        self, apply, inside: Admin, target: Target
    ) -> None:
        inside.execute("CREATE EXTENSION pgstattuple")
        apply(
            "CREATE EXTENSION pgstattuple;\nCREATE EXTENSION IF NOT EXISTS pgstattuple WITH SCHEMA public;"
        )
        assert target.notes == [
            f"schema.sql:{line}: CREATE EXTENSION pgstattuple passed over, it exists already"
            for line in (1, 2)
        ]

    def test_a_trusted_one_is_created_by_the_owner_of_the_database(
        self, apply, inside: Admin
    ) -> None:
        apply("CREATE EXTENSION IF NOT EXISTS pg_trgm;")
        assert inside.value("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == 1

    def test_one_the_test_role_may_not_create_points_to_the_setting(self, apply) -> None:
        error = failure(apply, "CREATE EXTENSION pgstattuple;")
        assert error.data["sqlstate"] == "42501"
        assert 'extensions = ["pgstattuple"]' in error.todo[0]

    def test_one_that_is_not_installed_is_named_with_its_line(self, apply) -> None:
        with pytest.raises(ExtensionMissing) as caught:
            apply('SELECT 1;\nCREATE EXTENSION "no-such";')
        assert caught.value.on == "schema.sql:2"
        assert caught.value.data["extension"] == "no-such"
        assert '"no-such" is not available' in caught.value.seen

    @pytest.mark.parametrize(
        "name, remedies",
        [
            ("vector", ['server = "embedded"', "apt install postgresql-16-pgvector"]),
            ("pg_trgm", ['server = "embedded"', "contrib modules"]),
            ("pgcrypto", ["contrib modules"]),
            ("postgis", ["apt install postgresql-16-postgis-3"]),
        ],
    )
    def test_the_providers_that_carry_one_are_named(self, name: str, remedies: list[str]) -> None:
        error = extension_missing(name, seen="gone", server_version=160003)
        assert len(error.todo) == len(remedies) + 1
        for remedy, todo in zip(remedies, error.todo, strict=False):
            assert remedy in todo


class TestDumps:
    HEAD = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n"

    def test_owners_that_are_not_ours_are_passed_over_with_a_note(
        self, apply, inside: Admin, target: Target
    ) -> None:
        apply(
            f"{self.HEAD}CREATE TABLE public.t (a int);\nALTER TABLE public.t OWNER TO alice;\n"
            'CREATE TABLE public.u ();\nALTER TABLE public.u OWNER TO "Bob; x";\n'
            "CREATE TABLE public.v ();\nALTER TABLE public.v OWNER TO alice;\n"
            "ALTER TABLE public.v OWNER TO postgres;\n"
        )
        assert inside.value("SELECT count(*) FROM pg_tables WHERE tableowner = 'postgres'") == 3
        assert target.notes == [
            "schema.sql: ALTER … OWNER TO alice passed over: that role is not ours (2 times)",
            'schema.sql: ALTER … OWNER TO "Bob; x" passed over: that role is not ours',
        ]

    def test_comments_on_extensions_are_passed_over_with_a_note(
        self, apply, target: Target
    ) -> None:
        apply(f"{self.HEAD}COMMENT ON EXTENSION plpgsql IS 'x';")
        assert target.notes == [
            "schema.sql: COMMENT ON EXTENSION passed over: extensions belong to the admin"
        ]

    def test_a_setting_of_a_newer_pg_dump_is_passed_over_with_a_note(
        self, apply, target: Target
    ) -> None:
        apply(f"{self.HEAD}SET unheard_of_timeout = 0;\nSELECT 1;")
        assert "SET unheard_of_timeout = 0; passed over" in target.notes[0]

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE t OWNER TO alice;",
            "COMMENT ON EXTENSION plpgsql IS 'x';",
            "SET unheard_of = 0;",
        ],
    )
    def test_in_a_file_written_by_hand_they_fail(self, apply, statement: str) -> None:
        failure(apply, f"CREATE TABLE t (a int);\n{statement}")


class TestFiles:
    def test_a_directory_is_taken_in_order_of_its_numbers_without_its_undo_files(
        self, tmp_path: Path
    ) -> None:
        for name in (
            "V10__c.sql",
            "V2__b.sql",
            "V1__a.sql",
            "V2__b.down.sql",
            "notes.txt",
            "down_payments.sql",
        ):
            (tmp_path / name).write_text("")
        found = [part.spec for part in SqlFiles(".", tmp_path).parts()]
        assert found == ["V1__a.sql", "V2__b.sql", "V10__c.sql", "down_payments.sql"]

    def test_a_glob_reaches_into_directories(self, tmp_path: Path) -> None:
        for name in ("a/1.sql", "b/c/2.sql"):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text("")
        assert [part.spec for part in SqlFiles("**/*.sql", tmp_path).parts()] == [
            "a/1.sql",
            "b/c/2.sql",
        ]
        assert [part.spec for part in SqlFiles(f"{tmp_path}/a/*.sql", tmp_path).parts()] == [
            "a/1.sql"
        ]

    def test_files_of_a_directory_are_applied_in_order(
        self, target: Target, inside: Admin, deadline: Deadline
    ) -> None:
        (target.root / "2.sql").write_text("INSERT INTO t VALUES (1);")
        (target.root / "1.sql").write_text("CREATE TABLE t (a int);")
        SqlFiles(".", target.root).apply(target, deadline)
        assert inside.value("SELECT count(*) FROM t") == 1

    @pytest.mark.parametrize("spec", ["nothing", "*.sql", "."])
    def test_a_place_without_sql_files_is_named(self, tmp_path: Path, spec: str) -> None:
        with pytest.raises(MigrationMissing) as caught:
            SqlFiles(spec, tmp_path).parts()
        assert caught.value.on == spec

    def test_a_missing_file_names_the_nearest(self, tmp_path: Path) -> None:
        (tmp_path / "schema.sql").write_text("")
        with pytest.raises(MigrationMissing) as caught:
            SqlFile("shema.sql", tmp_path).inputs()
        assert "'schema.sql'" in caught.value.seen

    def test_inputs_change_with_contents_only(self, tmp_path: Path) -> None:
        one, two = SqlFile("1.sql", tmp_path), SqlFile("2.sql", tmp_path)
        one.path.write_text("SELECT 1;")
        two.path.write_text("SELECT 1;")
        before = one.inputs().fixed[0].digest
        assert before == two.inputs().fixed[0].digest
        one.path.write_text("SELECT 2;")
        assert one.inputs().fixed[0].digest != before


def test_no_session_is_left_whatever_happened(apply, target: Target) -> None:
    apply("SELECT 1;")
    with closing(target.admin()) as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        limit = Deadline(2)
        while admin.value(query, (target.conninfo.dbname,)) and not limit.expired:
            pass
        assert admin.value(query, (target.conninfo.dbname,)) == 0
