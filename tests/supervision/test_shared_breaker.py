"""All workers go by what each has seen of a server, and pay nothing for it while it works."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from freshpg.core.errors import EmergencyMode
from freshpg.supervision.shared_breaker import SharedBreaker


@dataclass
class HandClock:
    now: float = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def worker(tmp_path, clock):
    return lambda: SharedBreaker(tmp_path / "state", "db.example:5432", clock=clock)


def test_while_all_goes_well_there_is_no_file(worker, tmp_path):
    breaker = worker()
    for _ in range(10):
        breaker.require()
        breaker.succeeded()
    assert list(tmp_path.iterdir()) == []


def test_failures_of_several_workers_together_stop_all_of_them(worker):
    workers = [worker() for _ in range(5)]
    for number, breaker in enumerate(workers):
        breaker.require()
        breaker.failed(f"worker {number} was refused")
    with pytest.raises(EmergencyMode) as caught:
        worker().require()
    assert "5 of the last 5" in caught.value.seen
    assert "worker 4 was refused" in caught.value.seen
    assert caught.value.retry_in == 5.0


def test_one_worker_probes_and_lets_all_go_on(worker, clock, tmp_path):
    one, two = worker(), worker()
    for _ in range(5):
        one.failed("refused")
    clock.sleep(5)
    two.require()
    with pytest.raises(EmergencyMode):
        one.require()
    two.succeeded()
    one.require()
    assert list((tmp_path / "state").iterdir()) == []


def test_a_probe_that_fails_keeps_all_out(worker, clock):
    one, two = worker(), worker()
    for _ in range(5):
        one.failed("refused")
    clock.sleep(5)
    two.require()
    two.failed("still refused")
    with pytest.raises(EmergencyMode, match="still refused"):
        one.require()


def test_a_failure_of_a_test_while_probing_says_nothing(worker, clock):
    one, two = worker(), worker()
    for _ in range(5):
        one.failed("refused")
    clock.sleep(5)
    two.require()
    two.abandoned()
    one.require()


def test_successes_of_a_worker_are_counted_once_with_its_failures(worker):
    one, two = worker(), worker()
    for _ in range(6):
        one.succeeded()
    for _ in range(3):
        one.failed("refused")
        two.failed("refused")
    with pytest.raises(EmergencyMode, match="6 of the last 12"):
        one.require()


def test_servers_do_not_concern_each_other(worker, tmp_path, clock):
    breaker = worker()
    for _ in range(5):
        breaker.failed("refused")
    SharedBreaker(tmp_path / "state", "other.example:5432", clock=clock).require()


def test_what_counts_no_more_is_removed_at_the_end(worker, clock, tmp_path):
    breaker = worker()
    breaker.failed("refused")
    breaker.close()
    assert len(list((tmp_path / "state").iterdir())) == 1
    clock.sleep(31)
    breaker.close()
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": "another"}', "\0\0"])
def test_a_file_nobody_can_read_is_no_reason_to_stop(worker, tmp_path, content):
    breaker = worker()
    breaker.failed("refused")
    (path,) = (tmp_path / "state").iterdir()
    path.write_text(content)
    breaker.failed("refused again")
    breaker.require()
    assert json.loads(path.read_text())["because"] == "refused again"


def test_where_nothing_can_be_written_a_worker_goes_by_itself(tmp_path, clock):
    (tmp_path / "state").write_text("a file where the directory should be")
    breaker = SharedBreaker(tmp_path / "state", "db.example:5432", clock=clock)
    for _ in range(5):
        breaker.failed("refused")
    with pytest.raises(EmergencyMode):
        breaker.require()


def test_another_process_hears_of_it(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from freshpg.supervision.shared_breaker import SharedBreaker\n"
        "breaker = SharedBreaker(Path(sys.argv[1]), 'db')\n"
        "for number in range(5): breaker.failed('it is down')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=50)
    with pytest.raises(EmergencyMode, match="it is down"):
        SharedBreaker(tmp_path, "db").require()
