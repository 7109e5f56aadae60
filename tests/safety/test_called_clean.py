"""Races and crashes after which a dirty database could be called clean."""

from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
from postgres_server import running_server

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.isolation.audit.auditor import Auditor
from freshpg.isolation.audit.watch import Watch
from freshpg.isolation.cloning import CloneSource
from freshpg.isolation.stock import CloneStock
from freshpg.leases.slots import Slot
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark
from freshpg.postgres.wal.position import parse_lsn

TEMPLATE = "clean_test_template_f1"


@pytest.fixture(scope="module")
def place():
    with running_server(restart_after_crash="on") as address:
        with Admin.connect(address) as admin:
            databases = Databases(admin)
            databases.create(
                TEMPLATE, Mark("template", "main", "f1"), owner="postgres", template="template0"
            )
            with psycopg.connect(
                **address.with_(dbname=TEMPLATE, user="postgres").keywords()
            ) as connection:
                connection.execute("CREATE TABLE customer (id int PRIMARY KEY, name text)")
                connection.execute("INSERT INTO customer VALUES (1, 'Ada')")
            databases.seal(TEMPLATE)
            data = admin.value("SHOW data_directory")
        yield address, data


@pytest.fixture
def watched(place, tmp_path):
    address, data = place
    source = CloneSource(TEMPLATE, "clean_test", "main", "f1", "postgres")
    stock = CloneStock(
        lambda: Databases(Admin.connect(address)),
        source,
        [Slot("clean_test", number) for number in (1, 2, 3)],
        target=1,
    )
    stock.start()
    watch = Watch(stock, address, data=type(tmp_path)(data), clock=SYSTEM_CLOCK)
    taken = stock.take(30.0)
    watch.begin(taken.name, taken.baseline)
    here = address.with_(dbname=taken.name, user="postgres")
    with psycopg.connect(**here.keywords(), autocommit=True) as connection:
        yield watch, taken.name, connection
    watch.end()
    stock.stop("nothing")


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE debris (id int)", "UPDATE customer SET name = 'x'"]
)
def test_who_begins_to_write_after_the_look_and_before_its_position_is_found_later(
    watched, place, monkeypatch, statement
):
    watch, name, connection = watched
    assert watch.settle(name).clean
    rested = Auditor._rested
    began = []

    def late(self):
        pulse = rested(self)
        if began:
            return pulse
        began.append(1)
        connection.execute("BEGIN")
        connection.execute(statement)
        with Admin.connect(place[0]) as admin:
            lsn = admin.value(
                "SELECT pg_current_wal_insert_lsn()::text FROM pg_logical_emit_message(true, 'x', '')"
            )
            # So that its files have it.
            admin.execute("CHECKPOINT")
        return replace(pulse, moved=True, lsn=parse_lsn(lsn))

    monkeypatch.setattr(Auditor, "_rested", late)
    watch.settle(name)
    assert began
    # It may have been told to end as one of those who are in the middle of something.
    with suppress(psycopg.OperationalError):
        connection.execute("COMMIT")
    settled = watch.settle(name)
    assert not settled.clean or not watch.prove(name)


def test_what_was_undone_and_lost_with_the_servers_memory_is_not_called_clean(watched, place):
    watch, name, connection = watched
    assert watch.settle(name).clean
    connection.execute("UPDATE customer SET name = 'x'")
    assert watch.settle(name).clean
    # A crash of the whole server ends this session, too, and with it what was not on disk.
    with Admin.connect(place[0]) as admin:
        admin.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'freshpg audit' AND datname = %s",
            (name,),
        )
    settled = watch.settle(name)
    assert not settled.clean
    assert "ended" in settled.residue.doubt
