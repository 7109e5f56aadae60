"""A process that is killed while it makes or drops a tenant's database costs the next one nothing."""

import os
import signal
import subprocess
import sys

import pytest
from tenants_world import succeeded, together

from freshpg import TenantPools, errors
from freshpg.postgres.databases import Databases
from freshpg.postgres.grants import Extras
from freshpg.postgres.mark import Mark
from freshpg.postgres.quoting import ident
from freshpg.tenants.unborn import unborn_name

THREADS = """
from freshpg import TenantPools
getattr(TenantPools({tenants!r}, **{options!r}), {verb!r})("victim")
"""
TASKS = """
import asyncio
from freshpg import AsyncTenantPools
asyncio.run(getattr(AsyncTenantPools({tenants!r}, **{options!r}), {verb!r})("victim"))
"""


@pytest.fixture
def ours(ground, own_databases):
    """Names beside the ground's own."""
    known = {name for (name,) in own_databases.rows("SELECT datname FROM pg_database")}

    def names():
        rows = own_databases.rows("SELECT datname FROM pg_database ORDER BY datname")
        return [name for (name,) in rows if name not in known]

    return names


@pytest.fixture
def kill(ground, tmp_path):
    """Have a process killed at a point of what it does to the tenant ``victim``."""

    def die(point, verb, program):
        (tmp_path / point).write_text("kill")
        options = ground.options(system=None) | {"admin": ground.conninfo.keywords()}
        text = program.format(tenants=ground.tenants, options=options, verb=verb)
        environment = os.environ | {"FRESHPG_FAULTS": str(tmp_path)}
        ended = subprocess.run([sys.executable, "-c", text], env=environment, check=False)
        assert ended.returncode == -signal.SIGKILL

    return die


@pytest.fixture
def pools(ground):
    with TenantPools(ground.tenants, **ground.options()) as pools:
        yield pools


@pytest.mark.parametrize("program", [THREADS, pytest.param(TASKS, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "verb", ["ensure_database", pytest.param("drop_database", marks=pytest.mark.slow)]
)
def test_who_is_killed_before_the_mark_leaves_nothing_that_the_next_one_does_not_remove(
    kill, ours, pools, program, verb
):
    kill("clone.made", "ensure_database", program)
    (left,) = ours()
    assert left.startswith("freshpg_unborn_")
    assert getattr(pools, verb)("victim") is (verb == "ensure_database")
    assert ours() == (["ws_victim"] if verb == "ensure_database" else [])
    pools.drop_database("victim")


@pytest.mark.slow
@pytest.mark.parametrize("program", [THREADS, TASKS])
def test_who_is_killed_after_the_mark_has_made_it(kill, ours, pools, program):
    kill("clone.marked", "ensure_database", program)
    assert not pools.ensure_database("victim")
    assert ours() == ["ws_victim"]
    assert pools.drop_database("victim")


@pytest.mark.parametrize("program", [THREADS, pytest.param(TASKS, marks=pytest.mark.slow)])
def test_who_is_killed_while_it_drops_leaves_the_rest_to_the_next_one(kill, ours, pools, program):
    pools.ensure_database("victim")
    kill("drop.doomed", "drop_database", program)
    (left,) = ours()
    assert left.startswith("freshpg_doomed_")
    assert pools.ensure_database("victim")
    assert ours() == ["ws_victim"]
    assert pools.drop_database("victim")


def test_a_strangers_database_under_such_a_name_is_not_touched(own_databases, ours, pools):
    # The name holds another oid, so it proves nothing.
    stranger = unborn_name("ws_victim", 1)
    own_databases.execute(f"CREATE DATABASE {ident(stranger)} STRATEGY file_copy")
    assert pools.ensure_database("victim")
    assert ours() == [stranger, "ws_victim"]
    pools.drop_database("victim")


def test_a_name_that_somebody_took_meanwhile_leaves_nothing_half_made(own_databases, ours):
    databases = Databases(own_databases)
    made = databases.create("ws_victim", Mark("tenant", ""), owner="postgres", template="template1")
    with pytest.raises(errors.FreshpgError) as raised:
        databases.clone(
            "ws_victim", Mark("tenant", ""), owner="postgres", template="template1",
            strategy="file_copy", extras=Extras((), None), first=lambda oid: unborn_name("ws_victim", oid),
        )  # fmt: skip
    assert raised.value.data["sqlstate"] == "42P04"
    assert databases.find("ws_victim").oid == made


def test_makers_who_do_not_see_each_others_lock_make_it_once(ground, ours):
    several = [
        TenantPools(
            ground.tenants,
            **ground.options(admin=ground.conninfo.with_(dbname=control).keywords(), system=None),
        )
        for control in ("postgres", "app")
    ]
    try:
        made = succeeded(
            together([lambda pools=pools: pools.ensure_database("victim") for pools in several])
        )
    finally:
        for pools in several:
            pools.close()
    assert sorted(made) == [False, True]
    assert ours() == ["ws_victim"]
