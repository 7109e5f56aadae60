"""Somebody else's server with somebody else's databases on it, and freshpg let loose beside them."""

from __future__ import annotations

import os

import pytest
from postgres_server import running_server

from freshpg.core.settings import Settings
from freshpg.isolation.audit.deep.state import DeepState
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin
from freshpg.postgres.quoting import ident, literal

SCHEMA = """
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO customer (name) VALUES ('Ada');
"""

ABOUT = "SELECT oid, datname, datallowconn, datistemplate, datacl::text, shobj_description(oid, 'pg_database') FROM pg_database"


class Neighbourhood:
    """A server of somebody else's: makes databases there, moves them about, and says what they are."""

    def __init__(self, address):
        self.address = address
        self.admin = Admin.connect(address)

    def prepare(self):
        """Make what the databases of somebody are copied from."""
        self.admin.execute("CREATE DATABASE somebody_model STRATEGY file_copy")
        with self.enter("somebody_model") as inside:
            inside.execute(SCHEMA)

    def make(self, name, comment=None):
        """Make a database of somebody's, with the tables of ours and rows of its own."""
        self.admin.execute(
            f"CREATE DATABASE {ident(name)} TEMPLATE somebody_model STRATEGY file_copy"
        )
        with self.enter(name) as inside:
            inside.execute("INSERT INTO customer (name) VALUES ('precious')")
        if comment is not None:
            self.say(name, comment)
        return name

    def enter(self, name):
        return Admin.connect(self.address.with_(dbname=name), application_name="somebody")

    def state(self, *names):
        """Return all there is to know of databases, by the names they have now."""
        found = {}
        for name in names:
            with self.enter(name) as inside:
                about = inside.one(f"{ABOUT} WHERE datname = %s", (name,))
                found[name] = (about, DeepState.read(inside, shared=False))
        return found

    def names(self):
        return {name for (name,) in self.admin.rows("SELECT datname FROM pg_database")}

    def comment(self, name):
        return self.admin.one(f"{ABOUT} WHERE datname = %s", (name,))[-1]

    def say(self, name, comment):
        text = "NULL" if comment is None else literal(comment)
        self.admin.execute(f"COMMENT ON DATABASE {ident(name)} IS {text}")

    def rename(self, name, new_name):
        self.admin.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
        self.admin.execute(f"ALTER DATABASE {ident(name)} RENAME TO {ident(new_name)}")

    def exchange(self, one, other):
        """Let two databases have each other's name."""
        self.rename(one, "in_between")
        self.rename(other, one)
        self.rename("in_between", other)

    def another(self, name):
        """Return the name of a clone that stands ready, once there is one."""
        for _ in range(2000):
            for one in self.names() - {name}:
                if one.startswith("shop_test") and "template" not in one and self.comment(one):
                    return one
            self.admin.value("SELECT pg_sleep(0.005)")
        raise AssertionError

    def clear(self, *kept):
        """Drop whatever is there besides."""
        for name in self.names() - {
            "postgres",
            "template0",
            "template1",
            "freshpg_coordination",
            *kept,
        }:
            self.admin.execute(f"ALTER DATABASE {ident(name)} IS_TEMPLATE false")
            self.admin.execute(f"DROP DATABASE {ident(name)} WITH (FORCE)")


@pytest.fixture(scope="session")
def theirs():
    with running_server() as address:
        place = Neighbourhood(address)
        place.prepare()
        yield place
        place.admin.close()


@pytest.fixture(scope="session")
def other():
    """Another cluster."""
    with running_server() as address:
        place = Neighbourhood(address)
        place.prepare()
        place.admin.execute("CREATE ROLE freshpg_test LOGIN")
        yield place
        place.admin.close()


@pytest.fixture
def there(theirs):
    yield theirs
    # Templates stay: they are what takes time to make.
    theirs.clear("somebody_model", *(name for name in theirs.names() if "_template_" in name))


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("FRESHPG_")]:
        if name not in {"FRESHPG_RUNTIME", "FRESHPG_CACHE"}:
            monkeypatch.delenv(name)


@pytest.fixture
def make_manager(tmp_path, there):
    (tmp_path / "schema.sql").write_text(SCHEMA)
    made = []

    def make(name="shop_test", address=there.address, **changes):
        changes = {"allow_create": True, "stock": 1, **changes}
        manager = DatabaseManager(
            Settings(
                root=tmp_path,
                server=address.url(),
                databases={"main": {"name": name, "migrations": ["schema.sql"]}},
                **changes,
            )
        )
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.stop()
