"""The supervisor does what its strategy decides: in order, once for each crash, within its budget."""

import threading
from dataclasses import dataclass

import pytest

from freshpg.core.errors import RestartsExhausted, ServerStartFailed
from freshpg.core.events import Bus, ChildCrashed, ChildRestarted
from freshpg.supervision.strategy import ChildSpec, Intensity
from freshpg.supervision.supervisor import Child, Supervisor


@dataclass
class HandClock:
    now: float = 0.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class World:
    """Children that write down what happens to them, and fail when told to."""

    def __init__(self):
        self.clock = HandClock()
        self.done = []
        self.failing = set()
        self.events = []
        bus = Bus()
        bus.subscribe(self.events.append)
        specs = (
            ChildSpec("keeper"),
            ChildSpec("postmaster", scope="rest_for_one"),
            ChildSpec("lease", intensity=None, stop_within=2),
            ChildSpec("stock", intensity=Intensity(3, 30), stop_within=7),
        )
        self.supervisor = Supervisor(
            [self.child(spec) for spec in specs], events=bus, clock=self.clock
        )

    def child(self, spec):
        def start():
            if spec.name in self.failing:
                raise ServerStartFailed(f"{spec.name} was started", seen="no space in the attic")
            self.done.append(f"start {spec.name}")

        def stop(seconds):
            self.done.append(f"stop {spec.name}")
            self.budgets = {**getattr(self, "budgets", {}), spec.name: seconds}
            if f"stop {spec.name}" in self.failing:
                raise RuntimeError(spec.name)

        return Child(spec, start, stop, lambda: f"last line of {spec.name}")

    def crash(self, name, seen="killed"):
        self.supervisor.report(name, seen, generation=self.supervisor.generation(name))

    def since(self):
        done, self.done = self.done, []
        return done


@pytest.fixture
def world():
    world = World()
    world.supervisor.start()
    assert world.since() == ["start keeper", "start postmaster", "start lease", "start stock"]
    return world


def test_it_stops_in_reverse_order(world):
    world.supervisor.stop(30)
    assert world.since() == ["stop stock", "stop lease", "stop postmaster", "stop keeper"]
    world.supervisor.stop(30)
    assert world.since() == []


def test_each_stop_gets_its_own_seconds_and_all_together_the_budget(world):
    world.supervisor.stop(6)
    assert world.budgets == {"stock": 6, "lease": 2, "postmaster": 5, "keeper": 5}


def test_a_stop_that_fails_leaves_the_others_to_be_stopped(world, caplog):
    world.failing.add("stop stock")
    world.supervisor.stop(30)
    assert world.since()[-1] == "stop keeper"
    assert "stock did not stop in order" in caplog.text


def test_a_start_that_fails_stops_those_before_it():
    world = World()
    world.failing.add("lease")
    with pytest.raises(ServerStartFailed):
        world.supervisor.start()
    assert world.since() == ["start keeper", "start postmaster", "stop postmaster", "stop keeper"]


def test_a_crash_restarts_what_it_concerns(world):
    world.crash("postmaster")
    assert world.since() == [
        "stop stock",
        "stop lease",
        "start postmaster",
        "start lease",
        "start stock",
    ]
    world.crash("keeper")
    assert world.since() == ["start keeper"]
    assert [(type(event), event.child) for event in world.events] == [
        (ChildCrashed, "postmaster"),
        (ChildRestarted, "postmaster"),
        (ChildCrashed, "keeper"),
        (ChildRestarted, "keeper"),
    ]


def test_a_death_that_two_saw_is_one_crash(world):
    generation = world.supervisor.generation("keeper")
    for seen in ("its descriptor", "a failed call"):
        world.supervisor.report("keeper", seen, generation=generation)
    assert world.since() == ["start keeper"]


def test_a_crash_after_the_stop_restarts_nothing(world):
    generation = world.supervisor.generation("keeper")
    world.supervisor.stop(30)
    world.since()
    world.supervisor.report("keeper", "killed", generation=generation)
    assert world.since() == []


def test_three_crashes_in_thirty_seconds_stop_all_with_the_last_lines(world):
    for _ in range(2):
        world.crash("postmaster")
        world.clock.sleep(10)
    world.supervisor.ensure()
    world.since()
    world.crash("postmaster", "killed by signal 9")
    assert world.since() == ["stop stock", "stop lease", "stop keeper"]
    with pytest.raises(RestartsExhausted) as caught:
        world.supervisor.ensure()
    assert caught.value.crashes == 3
    assert caught.value.seen == "killed by signal 9\nlast line of postmaster"
    world.crash("keeper")
    assert world.since() == []


def test_what_cannot_be_started_again_is_tried_by_whoever_needs_it(world):
    world.failing.add("postmaster")
    world.crash("postmaster")
    world.since()
    world.failing.clear()
    world.clock.sleep(31)
    world.supervisor.ensure()
    assert world.since() == ["start postmaster", "start lease", "start stock"]


def test_starts_that_fail_count_as_crashes(world):
    world.failing.add("postmaster")
    world.crash("postmaster")
    with pytest.raises(RestartsExhausted, match="no space in the attic"):
        world.supervisor.ensure()


def test_what_failed_last_is_raised_while_there_is_hope(world):
    world.failing.add("postmaster")
    world.crash("postmaster")
    world.clock.sleep(31)
    with pytest.raises(ServerStartFailed):
        world.supervisor.ensure()


def test_it_can_be_started_anew_after_it_gave_up(world):
    for _ in range(3):
        world.crash("keeper")
    world.since()
    world.supervisor.start()
    world.supervisor.ensure()
    assert world.since()[0] == "start keeper"


def test_of_many_threads_that_see_a_death_one_restarts(world):
    generation = world.supervisor.generation("keeper")
    together = threading.Barrier(6)

    def see():
        together.wait(10)
        world.supervisor.report("keeper", "killed", generation=generation)

    threads = [threading.Thread(target=see) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert world.since() == ["start keeper"]
