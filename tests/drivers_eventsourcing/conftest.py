"""An event-sourced project, the tables that the migration made of it, and a clone of them for every test."""

from __future__ import annotations

import itertools
import sys

import pytest
from postgres_server import server

from freshpg.core.clock import Deadline
from freshpg.handle import Database
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.parse import parse_step

__all__ = ["server"]

NAME = "ledger_of_tests"
MODULE = '''
"""Accounts, their money as an event each."""

from dataclasses import dataclass
from decimal import Decimal

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Transcoding
from eventsourcing.system import ProcessApplication, System


@dataclass(frozen=True)
class Money:
    amount: Decimal
    currency: str


class MoneyAsText(Transcoding):
    type = Money
    name = "money"

    def encode(self, obj):
        return f"{obj.amount} {obj.currency}"

    def decode(self, data):
        amount, currency = data.split()
        return Money(Decimal(amount), currency)


class Account(Aggregate):
    @event("Opened")
    def __init__(self, owner):
        self.owner = owner
        self.paid = []

    @event("Paid")
    def pay(self, money):
        self.paid.append(money)


class Ledger(Application):
    is_snapshotting_enabled = True

    def register_transcodings(self, transcoder):
        super().register_transcodings(transcoder)
        transcoder.register(MoneyAsText())

    def open(self, owner):
        account = Account(owner)
        self.save(account)
        return account.id

    def pay(self, account_id, money):
        account = self.repository.get(account_id)
        account.pay(money)
        self.save(account)

    def paid(self, account_id):
        return self.repository.get(account_id).paid


class Counting(ProcessApplication):
    def policy(self, domain_event, processing_event):
        pass


def make(env):
    return Ledger(env=env)


def make_without_settings():
    return Ledger()


def make_elsewhere():
    return Ledger(env={"PERSISTENCE_MODULE": "eventsourcing.popo"})


def make_nothing():
    return None


system = System(pipes=[[Ledger, Counting]])
'''

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Directory of the project; its module can be imported here too."""
    root = tmp_path_factory.mktemp("project")
    (root / f"{NAME}.py").write_text(MODULE)
    (root / f"{NAME}_made.py").write_text(f"from {NAME} import Ledger\napp = Ledger()\n")
    sys.path.insert(0, str(root))
    yield root
    sys.path.remove(str(root))


@pytest.fixture(scope="session")
def ledger(project):
    """The module."""
    import importlib

    return importlib.import_module(NAME)


@pytest.fixture(scope="session")
def apply(server, project):
    """Carry out a step on a database and return its tables."""

    def apply_it(database, spec):
        target = Target(
            server.with_(dbname=database, user="postgres"), lambda: Admin.connect(server), project
        )
        parse_step(spec, project).apply(target, Deadline(30))
        with Admin.connect(target.conninfo) as inside:
            return sorted(
                name
                for (name,) in inside.rows(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                )
            )

    return apply_it


@pytest.fixture(scope="session")
def template(server, apply):
    """Name of a database in which the migration made the tables."""
    with Admin.connect(server) as admin:
        admin.execute("CREATE DATABASE events_template OWNER postgres")
    grant(server, "events_template")
    apply("events_template", f"eventsourcing:{NAME}:Ledger")
    return "events_template"


@pytest.fixture
def make_database(server):
    """Make databases; they are dropped bare at the end, so one that an application still holds fails the test."""
    made = []

    def make(template="template1", isolation="clone"):
        name = f"events_{next(NUMBERS)}"
        with Admin.connect(server) as admin:
            admin.execute(
                f"CREATE DATABASE {name} OWNER postgres TEMPLATE {template} STRATEGY file_copy"
            )
        grant(server, name)
        lent = Database(
            server.with_(dbname=name, user="postgres"),
            blueprint="eventstore",
            isolation=isolation,
            owner=None,
        )
        made.append(lent)
        return lent

    yield make
    problems = []
    with Admin.connect(server) as admin:
        for lent in made:
            problems += lent.close()
            admin.execute(f"DROP DATABASE {lent._conninfo.dbname}")
    assert problems == []


@pytest.fixture
def database(make_database, template):
    return make_database(template)


def grant(server, database):
    with Admin.connect(server.with_(dbname=database)) as admin:
        admin.execute("GRANT ALL ON SCHEMA public TO postgres")
