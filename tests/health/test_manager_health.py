"""``manager.health()``: all good on a running manager, and each check told apart when its part breaks."""

import contextlib
import dataclasses
import os
import select
import signal
from types import SimpleNamespace

import psycopg
import pytest

from freshpg.core.conninfo import Conninfo
from freshpg.health.examine import examine, examine_address
from freshpg.health.server import Expected, on_server, own_leases
from freshpg.postgres.admin import Admin
from freshpg.testing import FakeClock

NAMES = {
    *("socket", "server", "version", "templates", "connections", "clock", "extensions"),
    *("leases", "keeper", "storage", "stale objects", "settings"),
}


@pytest.fixture
def control(manager):
    """The address of the control role."""
    return manager._lending.holding.running.coordination


def test_every_check_of_a_running_manager_is_good(manager):
    with manager.lease():
        health = manager.health()

    assert {check.name for check in health.checks} == NAMES
    # What other tests have on this machine meanwhile is none of this one's business.
    others = {"stale objects"}
    assert [one for one in health.checks if one.verdict != "good" and one.name not in others] == []
    assert health["leases"].figure >= 1
    assert health["server"].unit == "ms"


def test_before_the_start_and_after_the_stop_it_is_bad_and_says_what_to_do(make_manager):
    manager = make_manager()
    assert not manager.health()
    assert "start" in manager.health()["server"].remedy


def test_migrations_changed_since_the_start_make_the_template_stale(manager, project):
    schema = project / "schema.sql"
    before = schema.read_text()
    schema.write_text(before + "CREATE TABLE later (id int);")
    try:
        check = manager.health()["templates"]
        schema.unlink()
        unread = manager.health()["templates"]
    finally:
        schema.write_text(before)

    assert (check.verdict, "main" in check.text) == ("bad", True)
    assert (unread.verdict, "schema.sql" in unread.text) == ("bad", True)
    assert manager.health()["templates"].verdict == "good"


def test_connections_near_the_limit_are_a_warning(manager, control):
    limit = int(manager.health()["connections"].text.split(" of ")[1].split()[0])
    with manager.lease() as database, contextlib.ExitStack() as stack:
        while manager.health()["connections"].figure < 80:
            for _ in range(max(1, limit // 8)):
                stack.enter_context(psycopg.connect(**database.conninfo.keywords()))
        assert manager.health()["connections"].verdict in {"warning", "bad"}


def test_a_lease_that_the_server_does_not_know_of_is_bad(manager, control):
    with Admin.connect(control) as admin:
        believed = SimpleNamespace(alive=True, backend=admin.pid, held=("shop_test", "shop_test_2"))
        assert own_leases(admin, believed).verdict == "bad"
        assert own_leases(admin, manager._lending.holding.lease).verdict == "good"
        believed.alive = False
        assert own_leases(admin, believed).verdict == "bad"


def test_a_server_that_is_gone_is_bad_and_the_rest_is_still_looked_at(manager):
    holding = manager._lending.holding
    postmaster = os.pidfd_open(holding.running.handle.pid)
    signal.pidfd_send_signal(postmaster, signal.SIGKILL)
    assert select.select([postmaster], [], [], 10)[0]
    os.close(postmaster)

    health = examine(holding.running, lambda: holding.lease, manager.settings)

    assert not health
    assert health["server"].verdict == "bad"
    assert health["settings"].verdict == "good"


def test_a_missing_socket_is_named(manager, control):
    elsewhere = control.with_(port=1)
    health = examine_address(elsewhere, Expected())

    assert (health["socket"].verdict, health["server"].verdict) == ("bad", "bad")
    assert ".s.PGSQL.1" in health["socket"].text


def test_clock_version_and_extensions_are_compared_with_what_is_expected(control, manager):
    blueprint = next(iter(manager.blueprints.values()))
    wanting = dataclasses.replace(blueprint, extensions=("no_such_extension",))
    with Admin.connect(control) as admin:
        checks = {
            check.name: check
            for check in on_server(admin, Expected((wanting,), postgres=3), FakeClock())
        }

    assert checks["clock"].verdict == "warning"
    assert checks["version"].verdict == "bad"
    assert checks["extensions"].verdict == "bad"
    assert "no_such_extension" in checks["extensions"].text


def test_nobody_home_is_told_with_a_remedy():
    health = examine_address(Conninfo(host="/nowhere", user="u", dbname="d"), Expected())

    assert [check.verdict for check in health.checks] == ["bad", "bad"]
    assert all(check.remedy for check in health.checks)
