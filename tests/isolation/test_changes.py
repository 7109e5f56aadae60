"""The whole catalogue against the level ``reset``: the quick audit sees it, and a reset undoes it, down to the last hash."""

from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from isolation.changes import CHANGES, TEMPLATE
from isolation.changes.change import Hands
from postgres_server import running_server

from freshpg.core.conninfo import Conninfo
from freshpg.core.settings import Settings
from freshpg.isolation.audit.deep import DeepState
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin

SAMPLE = 30
"""`make test` looks at one change of so many, `make test-all` at each."""

CATALOGUE = [
    pytest.param(change, id=change.name, marks=[pytest.mark.slow] if at % SAMPLE else [])
    for at, change in enumerate(CHANGES)
]


@dataclass
class World:
    """A project of its own with the catalogue's template."""

    settings: Settings
    role: str
    manager: DatabaseManager
    server: Conninfo | None = None
    """Address of a superuser, where the server is somebody else's."""

    def renew(self):
        """Go on with another server: one that a failed test spoilt must not fail the next."""
        self.manager.stop()
        self.manager = DatabaseManager(self.settings)

    def admin(self, name):
        """Open a control connection to one of its databases."""
        address = self.server or self.manager._holding.running.coordination
        return Admin.connect(address.with_(dbname=name))

    def state(self, name):
        """Read all of it, and on a server of ours what belongs to the server."""
        with self.admin(name) as admin:
            return DeepState.read(admin, shared=self.server is None)

    def carry_out(self, change, hands):
        """Do it; skip where the tests' role may not."""
        try:
            change.carry_out(hands)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject) as error:
            if self.server is None:
                raise
            pytest.skip(f"not to this role on somebody else's server: {error}")

    def hands(self, database):
        """Return the hands of a test that has it."""
        return Hands(database.conninfo, database.conninfo)

    def hides(self, change):
        """Whether this role may not read what changed; its database is replaced whatever was written."""
        inside = {"write to a large object", "truncate a large object"}
        return self.server is not None and self.role != "superuser" and change.name in inside

    def skip_without(self, change, name):
        """Skip what this server or role cannot do."""
        if "superuser" in change.needs and self.role != "superuser":
            pytest.skip("takes a superuser")
        if self.server is not None and change.name == "comment on the database":
            pytest.skip("without its mark a database is nobody's there, and reset refuses it")
        with self.admin(name) as admin:
            if admin.server_version // 10000 < change.since:
                pytest.skip(f"PostgreSQL {change.since} on")
            for need in change.needs & {"hstore"}:
                if not admin.value(
                    "SELECT 1 FROM pg_available_extensions WHERE name = %s", (need,)
                ):
                    pytest.skip(f"no {need} here")


@contextmanager
def project(root, role, theirs=None, **options):
    (root / "schema.sql").write_text(TEMPLATE)
    wanted = Settings(
        root=root,
        linger=0,
        databases={"main": {"name": "rich_test", "migrations": ["schema.sql"]}},
        **options,
    )
    world = World(wanted, role, DatabaseManager(wanted), theirs)
    try:
        yield world
    finally:
        world.manager.stop()


@contextmanager
def own(root, role):
    """On a server of ours; a superuser's replicates, so that replication slots can be left."""
    settings = {"max_prepared_transactions": 5}
    if role == "superuser":
        settings |= {"wal_level": "logical", "max_wal_senders": 4, "max_replication_slots": 4}
    with project(root, role, superuser=role == "superuser", settings=settings) as world:
        yield world


@contextmanager
def foreign(root, role):
    """On somebody else's server, as a role that may create databases and roles and no more."""
    with running_server() as server:
        with Admin.connect(server) as admin:
            admin.execute("CREATE ROLE maker LOGIN CREATEDB CREATEROLE")
        address = server.with_(user="maker").url()
        with project(root, role, server, server=address, allow_create=True) as world:
            yield world


WORLDS = {"plain": own, "superuser": own, "stranger": foreign}


@pytest.fixture(
    scope="module",
    params=["plain", "superuser", pytest.param("stranger", marks=pytest.mark.slow)],
)
def world(request, tmp_path_factory):
    with WORLDS[request.param](tmp_path_factory.mktemp(request.param), request.param) as world:
        # Here, where what it starts counts as the module's.
        world.manager.start()
        yield world


@pytest.fixture(scope="module")
def pristine(world):
    with world.manager.lease(isolation="clone") as database:
        return world.state(database.name)


@pytest.fixture
def database(world):
    with world.manager.lease(isolation="reset") as database:
        yield database


@contextmanager
def renewed_on_failure(world):
    try:
        yield
    except Exception:
        world.renew()
        raise


@pytest.fixture
def hands(world, database):
    hands = world.hands(database)
    yield hands
    hands.let_go()


@pytest.mark.parametrize("change", CATALOGUE)
def test_what_a_test_did_is_seen_and_undone(change, world, pristine, database, hands):
    world.skip_without(change, database.name)
    with renewed_on_failure(world):
        assert pristine.diff(world.state(database.name)) == ()
        world.carry_out(change, hands)
        if (change.content or change.held) and not change.unseen and not world.hides(change):
            assert database.audit()
        database.reset()
        assert not database.audit()
        assert pristine.diff(world.state(database.name)) == ()


@pytest.mark.parametrize("change", CATALOGUE)
def test_a_leased_database_proves_to_be_another_when_its_content_is(change, world, database, hands):
    world.skip_without(change, database.name)
    with renewed_on_failure(world):
        assert not database.prove()
        world.carry_out(change, hands)
        hands.let_go()
        residue = database.prove()
        assert bool(residue) == change.content, residue
    database.reset()
    if database.prove():
        # The test above says that it must not be; this one goes on.
        world.renew()


def test_the_first_proof_of_a_run_knows_the_server_as_it_was_before(tmp_path):
    with (
        own(tmp_path, "superuser") as world,
        world.manager.lease(isolation="reset") as database,
        database.connect() as connection,
    ):
        connection.execute("CREATE ROLE left_behind")
        connection.commit()
        assert database.prove()


def test_every_change_that_the_quick_audit_cannot_see_says_why():
    assert all(len(change.unseen) > 20 for change in CHANGES if change.unseen)
