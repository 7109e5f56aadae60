"""Under xdist every worker has a manager of its own, and the controller adds up."""

import pytest

TESTS = """
import pytest

def rows(pg):
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        return connection.execute("SELECT count(*) FROM item").fetchone()[0]

class TestA:
    def test_1(self, pg): assert rows(pg) == 2
    def test_2(self, pg): assert rows(pg) == 2

class TestB:
    @pytest.mark.xdist_group("one")
    def test_3(self, pg): assert rows(pg) == 2
    def test_4(self, pg_run): assert rows(pg_run) == 2
"""


@pytest.mark.parametrize(
    "mode, tests",
    [
        ("load", 4),
        *(
            pytest.param(mode, tests, marks=pytest.mark.slow)
            for mode, tests in [
                ("loadscope", 4),
                ("loadfile", 4),
                ("loadgroup", 4),
                ("worksteal", 4),
                ("each", 8),
                ("no", 4),
            ]
        ),
    ],
)
def test_every_way_to_distribute_gives_every_test_its_database(suite, until_gone, mode, tests):
    suite.tests(TESTS)
    outcome = suite.run_apart("-n2", f"--dist={mode}")
    assert outcome.counts == {"passed": tests}, outcome.text
    assert outcome.handed_out == tests
    assert outcome.text.count("handed out") == 1
    assert until_gone() == []


def test_workers_build_the_template_once_among_them(suite):
    suite.write(
        "freshpg.toml",
        '[databases.main]\nname = "shop_test"\nmigrations = ["schema.sql", "call:steps:note"]\n',
    )
    suite.write(
        "steps.py",
        "def note(connection):\n    with open('built', 'a') as log: log.write('once\\n')\n",
    )
    suite.tests("""
@pytest.mark.parametrize("turn", range(4))
def test_it(pg, turn): pass
""")
    assert suite.run_apart("-n2").counts == {"passed": 4}
    assert (suite.path / "built").read_text() == "once\n"


@pytest.mark.parametrize("death", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_crashed_worker_leaves_nothing_and_the_others_go_on(suite, until_gone, death):
    suite.tests(f"""
import os, signal

def test_dies(pg):
    {death}

@pytest.mark.parametrize("turn", range(4))
def test_lives(pg, turn): pass
""")
    outcome = suite.run_apart("-n2", "--max-worker-restart=1")
    assert outcome.counts == {"failed": 1, "passed": 4}, outcome.text
    assert "crashed while running 'test_it.py::test_dies'" in outcome.text
    assert until_gone() == []


def test_a_worker_shows_errors_as_blocks_too(suite):
    suite.write("schema.sql", "SELEC 1;")
    suite.tests("def test_1(pg): pass\ndef test_2(pg): pass")
    outcome = suite.run_apart("-n1")
    assert outcome.counts == {"errors": 2}
    assert outcome.text.count("schema.sql:1") == 1
    assert "ERROR test_it.py::test_1 - FPG-T01 a migration failed" in outcome.text
    assert "Traceback" not in outcome.text


def test_a_worker_refuses_a_wrong_marker_as_the_controller_would(suite):
    suite.tests('@pytest.mark.pg(isolation="clon")\ndef test_it(pg): pass')
    outcome = suite.run_apart("-n1")
    assert "perhaps 'clone' was meant" in outcome.text
    assert "INTERNALERROR" not in outcome.text


def test_without_xdist_installed_nothing_is_missed(suite):
    suite.tests(TESTS.replace('@pytest.mark.xdist_group("one")', ""))
    assert suite.run_apart("-p", "no:xdist").counts == {"passed": 4}


def test_workers_share_somebody_elses_server_and_leave_no_database_of_a_test(suite, server, admin):
    suite.write("freshpg.toml", "allow_create = true\n" + (suite.path / "freshpg.toml").read_text())
    suite.tests(TESTS)
    outcome = suite.run_apart("-n2", f"--pg-server={server.url()}")
    assert outcome.counts == {"passed": 4}, outcome.text
    assert outcome.text.count("(url)") == 1
    assert slots_on(admin) == []


def test_slots_of_a_crashed_worker_on_somebody_elses_server_are_free_for_the_next_run(
    suite, server, admin
):
    suite.write("freshpg.toml", "allow_create = true\n" + (suite.path / "freshpg.toml").read_text())
    suite.tests("import os\ndef test_dies(pg): os._exit(3)", "test_dies.py")
    suite.tests("def test_it(pg): assert pg.name in ('shop_test', 'shop_test_2')")
    address = f"--pg-server={server.url()}"
    assert suite.run_apart("test_dies.py", address).exit_code == 3
    assert suite.run("test_it.py", address).counts == {"passed": 1}
    assert slots_on(admin) == []


def slots_on(admin):
    """Databases there for tests, apart from templates."""
    return admin.rows(
        "SELECT datname FROM pg_database WHERE datname LIKE 'shop%' AND NOT datistemplate"
    )
