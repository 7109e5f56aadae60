import psycopg
import pytest
from postgres_server import admin, server

from freshpg.core.clock import Deadline
from freshpg.isolation.cloning import CloneSource
from freshpg.isolation.stock import CloneStock
from freshpg.leases.lease import APPLICATION, LeaseConnection
from freshpg.leases.slots import Slot
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark

__all__ = ["admin", "server"]

TEMPLATE = "shop_test_template_f1"


@pytest.fixture(scope="session")
def template(server):
    """A sealed template: one table with a row, a setting of the database and a right that was taken away."""
    with Admin.connect(server) as admin:
        databases = Databases(admin)
        databases.create(
            TEMPLATE, Mark("template", "main", "f1"), owner="postgres", template="template0"
        )
        with psycopg.connect(**server.with_(dbname=TEMPLATE, user="postgres").keywords()) as inside:
            inside.execute(
                "CREATE TABLE cart (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text)"
            )
            inside.execute("INSERT INTO cart (item) VALUES ('seed')")
        admin.execute(f'ALTER DATABASE {TEMPLATE} SET search_path = "$user", public, extra')
        admin.execute(f"REVOKE TEMPORARY ON DATABASE {TEMPLATE} FROM PUBLIC")
        databases.seal(TEMPLATE)
    return TEMPLATE


@pytest.fixture
def source(template):
    return CloneSource(template, "shop_test", "main", "f1", "postgres")


@pytest.fixture
def connect(server):
    return lambda: Databases(Admin.connect(server, application_name="freshpg stock"))


@pytest.fixture
def databases(template, admin):
    return Databases(admin)


@pytest.fixture
def slots():
    return [Slot("shop_test", number) for number in (1, 2, 3)]


@pytest.fixture
def new_stock(connect, source, slots, databases):
    """Make stocks that are stopped at the end of the test."""
    made = []

    def make(slots=slots, connect=connect, source=source, **options):
        made.append(CloneStock(connect, source, slots, **options))
        return made[-1]

    yield make
    for stock in made:
        stock.stop("everything")


@pytest.fixture
def stock(new_stock):
    stock = new_stock()
    stock.start()
    return stock


@pytest.fixture
def lease(server):
    with LeaseConnection.open(server) as connection:
        yield connection
    end = Deadline(10.0)
    with Admin.connect(server) as admin:
        while admin.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (APPLICATION,)
        ):
            assert not end.expired


@pytest.fixture
def user(server):
    """Connect to a database as the tests' role."""
    opened = []

    def connect_to(name):
        address = server.with_(dbname=name, user="postgres")
        opened.append(psycopg.connect(**address.keywords(), autocommit=True))
        return opened[-1]

    yield connect_to
    for connection in opened:
        connection.close()


@pytest.fixture
def wait_until():
    def wait(condition):
        end = Deadline(20.0)
        while not condition():
            assert not end.expired, "it did not come true"

    return wait


@pytest.fixture
def ours(admin):
    """Return the names of all databases of this blueprint but its template."""

    def names():
        rows = admin.rows(
            "SELECT datname FROM pg_database WHERE datname LIKE 'shop%%' AND NOT datistemplate"
        )
        return {name for (name,) in rows}

    return names
