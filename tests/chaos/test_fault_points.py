"""Every act interrupted at every named point: the next start works, and nothing is left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from chaos.conftest import SOURCE
from chaos.durable import functions_with_durable_acts
from chaos.ground import settled
from chaos.points import ARCHIVE, FOUND_WANTING, POINTS, PROGRAMS, WARM

from freshpg.core.faults import ACTIONS

ORDERS = {"delay": "delay:0.05"}
KEEPER_SECONDS = 10.0
"""For a loaded machine; how fast it is is measured in the storm."""


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield node, getattr(function, "attr", getattr(function, "id", ""))


def points_in(path):
    for call, name in calls(ast.parse(path.read_text())):
        if name == "faultpoint":
            (argument,) = call.args
            yield argument.value, f"{path.relative_to(SOURCE)}:{call.lineno}"


def test_every_point_has_one_place_in_the_source_and_a_way_to_it():
    found = {}
    for path in SOURCE.rglob("*.py"):
        for point, where in points_in(path):
            assert point not in found, f"{point} is at {found[point]} and at {where}"
            found[point] = where
    assert {point: found.get(point) for point in set(found) ^ set(POINTS)} == {}


WITHOUT_POINT = {
    # Removing what is known, or may be left: before and after it the same start follows.
    "servers/cluster.py:_bury": "cleans up after a failure that its caller has a point for",
    "servers/cluster.py:make": "the directory was claimed before it was made",
    "servers/images/build_lock.py:remove_if_free": "an empty file that the next builder makes again",
    "servers/images/drafts.py:__exit__": "a draft, which any sweep removes",
    "kept.py:sweep": "a draft, which the next sweep removes",
    "servers/private.py:sweep_drafts": "drafts, which the next sweep removes",
    "servers/keeper/process.py:_remove_empty": "keeper.shelves_gone and keeper.lock_gone come around it",
    "servers/keeper/process.py:_remove_file": "keeper.leaving to keeper.lock_gone come around it",
    "servers/keeper/remains.py:_remove": "remains.record_alone and remains.emptied come around it",
    "provision/workplace.py:remove_place": "place.released and place.removed come around it",
    # One step of something whose point is a line away, in the caller.
    "servers/keeper/burial.py:start": "its child has the points",
    "servers/keeper/remains.py:as_user": "forks to kill and to remove segments; burial.dead follows",
    "servers/nameless.py:_mirror": "fills a draft of relocation.making_copy",
    "servers/probe_cache.py:_write": "private.draft_written comes next",
    "servers/providers/archive.py:_publish": "archive.unpacked and archive.published come around it",
    "servers/relocation.py:make_passable": "an empty directory that the next start uses",
    "servers/relocation.py:_publish": "programs.copied and programs.published come around it",
    "servers/relocation.py:_copy_file": "fills a draft of relocation.making_copy",
    "provision/image.py:_drop": "image.layers_sealed and image.layers_dropped come around it",
    "postgres/databases.py:_create": "the points of create and clone come around it",
    "postgres/databases.py:mark": "create.made and create.marked come around it",
    "postgres/databases.py:_doom": "drop.shut and drop.doomed come around it",
    "postgres/databases.py:rename": "template.sealed and template.renamed come around it",
    "postgres/databases.py:_alter": "points of seal and drop come around it",
    "provision/loopback.py:open": "loopback.opened follows",
    # On a server of ours, which ends with its owner, whatever state it is in.
    "isolation/audit/auditor.py:_undo_outside": "repairs a server of ours",
    "isolation/repair/server_state.py:_role": "repairs a server of ours",
    "isolation/repair/server_state.py:_setting": "repairs a server of ours",
    # Ends with the process.
    "provision/loopback.py:free_port": "a socket that is closed again at once",
    "templates/migrations/child.py:__init__": "a step's program; template.step_applied follows",
    "cli/child.py:run": "the user's program; run.child_ended follows",
    "cli/demo.py:_ground": "the demonstration's own directory, removed at its end",
    "cli/demo.py:_pytest": "the demonstration's own run",
    "cli/demo_project.py:write_demo_project": "files for the user to keep",
}


def test_every_durable_act_has_a_point_or_a_reason_to_have_none():
    found = {name: acts for name, acts, has_point in functions_with_durable_acts() if not has_point}
    assert {name: acts for name, acts in found.items() if name not in WITHOUT_POINT} == {}
    assert set(WITHOUT_POINT) - set(found) == set(), "these have a point by now, or are gone"


def test_there_are_enough_cases():
    assert len(CASES) >= 200


def _cases():
    cases = [(point, action) for point in POINTS for action in ACTIONS]
    # Few run with the fast tests; a prime, so that all actions and all kinds of points come up.
    for number, (point, action) in enumerate(cases):
        fast = number % 97 == 0 and POINTS[point].cache == "full"
        slow = not fast and (action, point) not in FOUND_WANTING
        marks = [pytest.mark.chaos] if slow else []
        yield pytest.param(point, action, marks=marks, id=f"{action} at {point}")


CASES = list(_cases())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point, action", CASES)
def test_interrupted_there_the_next_start_works_and_nothing_is_left(
    nursery, make_ground, request, point, action
):
    way = POINTS[point]
    ground = make_ground(way.cache)
    environment = {}
    if way.on_foreign_server:
        environment["CHAOS_SERVER"] = request.getfixturevalue("foreign_url")
        # A template of its own, not one that an earlier case built.
        schema = ground.project / "schema.sql"
        schema.write_text(f"-- {point} {action}\n{schema.read_text()}")
    if way.died_at:
        nursery.order(way.died_at, "kill")
        nursery.run(ground, way.before, **environment)
        assert nursery.was_fired(way.died_at)
    segments = nursery.segments()

    nursery.order(point, ORDERS.get(action, action))
    anew = {"CHAOS_ANEW": "1"} if way.anew else {}
    outcome = nursery.run(ground, way.scenario, **environment, **anew)

    settled(lambda: not (nursery.orders / f"{point}.fired").exists(), KEEPER_SECONDS)
    assert nursery.was_fired(point), f"{way.scenario} did not pass {point}: {outcome}"
    assert as_expected(action, outcome), outcome
    if way != WARM and any("keeper" in one for one in ground.processes().values()):
        # A server that was released to stay warm does so.
        assert settled(ground.servers_left, KEEPER_SECONDS) == []

    after = (
        way.scenario
        if way in {PROGRAMS, ARCHIVE}
        else "foreign"
        if way.on_foreign_server
        else "use"
    )
    again = nursery.run(ground, after, **environment)
    assert "told" in again, again
    assert again["told"].get("left", []) == []
    assert settled(ground.left, KEEPER_SECONDS) == []
    assert ground.drafts_left() == []
    assert nursery.segments() == segments


def as_expected(action, outcome):
    """Whether a scenario ended as it may when ``action`` befell it, or the keeper it used."""
    if outcome["overtime"]:
        return False
    if "told" in outcome or "typed" in outcome:
        return action != "delay" or "told" in outcome
    if action == "kill":
        return outcome["status"] == -9
    return {"raise": "FaultInjected", "interrupt": "KeyboardInterrupt"}.get(action) == outcome.get(
        "raw"
    )


def test_the_hook_costs_next_to_nothing_when_it_is_off():
    from freshpg.core import faults

    assert faults.faultpoint is faults._nothing
    assert Path(faults.__file__).is_relative_to(SOURCE)
