"""A storm of SIGKILLs over a suite that uses freshpg, judged by eyes that share no code with it.

    python tests/chaos/storm.py --seed 7 --kills 100     rounds until so many processes were killed
    python tests/chaos/storm.py --seed 7 --round 3       one round again, as a failure names it

Each round runs a small suite, alone or under xdist, and kills what chance chooses at moments that chance chooses:
the pytest process or xdist's controller, a worker, a postmaster, a backend, the keeper, the process group, or
everything at once. Where a keeper lives when the last of the suite's processes ended, nothing may be left one second
later; where none does, nothing two seconds into the next start.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.ground import WITHOUT, Ground, eyes, make_base, settled

WITH_KEEPER = 1.0
"""Seconds after the last owner's death until nothing may be left, where a keeper lives."""
NEXT_START = 2.0
"""Seconds into the next start until nothing may be left, where none does."""
MEAN_PAUSE = 0.2
"""Seconds between two kills."""
CRASHES = 3
"""So many in thirty seconds, and a supervisor gives up on purpose."""
SUITE_SECONDS = 60.0
"""A suite that has not ended so long after the last kill hangs."""
TARGETS = {
    "pytest": 10,
    "worker": 20,
    "postmaster": 20,
    "backend": 25,
    "keeper": 20,
    "group": 3,
    "everything": 5,
}
SUITE = """
import time
import psycopg
import pytest

@pytest.mark.parametrize("turn", range(6))
def test_reset(pg_conn, turn):
    pg_conn.execute("INSERT INTO customer (name) VALUES ('Grace')")
    pg_conn.commit()
    assert pg_conn.execute("SELECT count(*) FROM customer").fetchone() == (2,)

@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("turn", range(4))
def test_clone(pg, turn):
    with pg.connect() as connection:
        connection.execute("DROP TABLE visit")

@pytest.mark.pg(isolation="rollback")
def test_rollback(pg_conn):
    pg_conn.execute("DELETE FROM customer")

@pytest.mark.pg(isolation="readonly")
def test_readonly(pg):
    with pg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)

@pytest.mark.pg(isolation="server")
def test_server(pg):
    with pg.connect(autocommit=True) as connection:
        connection.execute("CREATE ROLE somebody")

@pytest.mark.parametrize("turn", range(3))
def test_busy(pg, turn):
    with pg.connect() as connection:
        connection.execute("SELECT pg_sleep(0.3)")

def test_changed_schema(pg):
    with pg.connect() as connection:
        connection.execute("ALTER TABLE customer ADD COLUMN more int")
"""
TOML = """
[databases.main]
name = "storm_test"
migrations = ["schema.sql"]
seed = ["seed.sql"]
"""
NEXT = """
import sys
from freshpg.manager import DatabaseManager
with DatabaseManager.from_project() as manager, manager.lease(isolation="clone") as database:
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
    print("up", flush=True)
    sys.stdin.read()
"""


class Failed(Exception):
    """What a round left, or where it hung."""


@dataclass
class Tally:
    """What happened in a storm."""

    rounds: int = 0
    kills: Counter = field(default_factory=Counter)
    with_keeper: list = field(default_factory=list)
    next_start: list = field(default_factory=list)
    exits: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)

    @property
    def killed(self):
        return sum(self.kills.values())

    def lines(self):
        yield f"{self.killed} processes killed in {self.rounds} rounds: {_counts(self.kills)}"
        yield f"suites ended: {_counts(self.exits)}"
        yield f"a keeper lived {len(self.with_keeper)} times; gone after {_spread(self.with_keeper)}"
        yield f"none lived {len(self.next_start)} times; gone {_spread(self.next_start)} into the next start"
        yield f"rounds with anything left: {len(self.failures)}"
        yield from self.failures


def _counts(counter):
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def _spread(seconds):
    if not seconds:
        return "(never)"
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return (
        f"{ordered[len(ordered) // 2]:.3f} s median, {p99:.3f} s p99, {ordered[-1]:.3f} s at most"
    )


@dataclass
class Process:
    pid: int
    parent: int
    session: int
    command: str
    place: str


def processes():
    """Every process, as /proc has it."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if stat[0] in "ZX":
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = str((entry / "cwd").readlink())
        except OSError:
            continue
        yield Process(int(entry.name), int(stat[1]), int(stat[3]), command, place)


class Cast:
    """Who takes part in a round just now, by part."""

    def __init__(self, ground, suite):
        everybody = list(processes())
        here = f"{ground.base}/"
        keepers = [
            one for one in everybody if eyes().KEEPER.search(one.command) and here in one.command
        ]
        servers = [one for one in everybody if one.place.startswith(f"{ground.runtime}/")]
        masters = {one.pid for one in servers} - {
            one.pid for one in servers if one.parent in {other.pid for other in servers}
        }
        ours = [one for one in everybody if one.session == suite]
        self.parts = {
            "pytest": [one.pid for one in ours if one.pid == suite],
            "worker": [one.pid for one in ours if one.pid != suite],
            "keeper": [one.pid for one in keepers],
            "postmaster": sorted(masters),
            "backend": [one.pid for one in servers if one.pid not in masters],
        }
        self.owners = [one.pid for one in ours]

    def victims(self, part, rng):
        if part == "everything":
            return [pid for pids in self.parts.values() for pid in pids]
        if part == "group":
            return self.owners
        pids = sorted(self.parts[part])
        return [rng.choice(pids)] if pids else []


class Storm:
    """Rounds on one ground."""

    def __init__(self, base, seed):
        self.seed = seed
        self.tally = Tally()
        self.ground = Ground(base, "storm")
        (self.ground.project / "test_storm.py").write_text(SUITE)
        (self.ground.project / "freshpg.toml").write_text(TOML)
        self._next_start()

    def round(self, number):
        """One suite, some kills, one judgement.

        Raises:
            Failed: Something was left, or hung.
        """
        rng = random.Random(f"{self.seed}:{number}")
        self.tally.rounds += 1
        linger = rng.choice([0, 0, 0, 0.5])
        workers = rng.choice([0, 2])
        kinds = rng.choice([list(TARGETS), list(TARGETS), ["keeper"], ["backend", "postmaster"]])
        most = rng.randint(5, 20)
        if rng.random() < 0.1:
            # The very first run of a project: everything has yet to be made.
            shutil.rmtree(self.ground.cache, ignore_errors=True)
        log = self.ground.base / "log"
        with log.open("wb") as output:
            suite = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", *(["-n", str(workers)] if workers else []),
                 *(word for name in WITHOUT for word in ("-p", f"no:{name}"))],
                cwd=self.ground.project, env=self.ground.whole_environment(FRESHPG_LINGER=f"{linger}"),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        killed = self._kill(suite, kinds, most, rng)
        try:
            self._judge(suite, linger)
        except Failed as failed:
            raise Failed(
                f"{failed}; killed {', '.join(killed)}; workers {workers}, linger {linger}\n{tail(log)}"
            ) from None
        code = suite.returncode
        self.tally.exits["killed" if code < 0 else f"with {code}"] += 1
        if set(killed) == {"keeper"} and len(killed) < CRASHES and code != 0:
            raise Failed(
                f"only the keeper was killed, and the suite ended with {code}\n{tail(log)}"
            )

    def _kill(self, suite, kinds, most, rng):
        """Kill some of those who are there, every now and then, until that many were killed or the suite is over."""
        killed = []
        while len(killed) < most:
            time.sleep(min(1.2, rng.expovariate(1 / MEAN_PAUSE)))
            cast = Cast(self.ground, suite.pid)
            if suite.poll() is not None and not cast.owners:
                break
            present = [kind for kind in kinds if cast.victims(kind, random.Random(0))]
            if not present:
                continue
            (part,) = rng.choices(present, [TARGETS[kind] for kind in present])
            for pid in cast.victims(part, rng):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(part)
                    self.tally.kills[part] += 1
        return killed

    def _judge(self, suite, linger):
        """Wait for the suite's processes to end, then look what is left."""
        never = settled(lambda: suite.poll() is None, SUITE_SECONDS) or settled(
            lambda: Cast(self.ground, suite.pid).owners, SUITE_SECONDS
        )
        if never:
            raise Failed(f"the suite still runs after {SUITE_SECONDS:g} s: {never}")
        began = time.monotonic()
        if Cast(self.ground, suite.pid).parts["keeper"]:
            left = settled(self._left, WITH_KEEPER + linger)
            took = time.monotonic() - began - linger
            if not left:
                self.tally.with_keeper.append(max(0.0, took))
                return
            if Cast(self.ground, suite.pid).parts["keeper"]:
                raise Failed(
                    f"left {WITH_KEEPER:g} s after the last owner's death: {brief(left)}{self._records()}"
                )
        # The keeper was killed, too, or just left.
        if self._left():
            self._next_start()

    def _next_start(self):
        old = set(self._left())
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", NEXT], cwd=self.ground.project, env=self.ground.whole_environment(FRESHPG_LINGER="0"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            if process.stdout.readline() != "up\n":
                raise Failed(f"the next start failed: {process.communicate('')[1]}")
            left = settled(
                lambda: sorted(old & set(self._left())),
                max(0.0, began + NEXT_START - time.monotonic()),
            )
            if left:
                raise Failed(
                    f"left {NEXT_START:g} s into the next start: {brief(left)}{self._records()}"
                )
            if old:
                self.tally.next_start.append(time.monotonic() - began)
        finally:
            with contextlib.suppress(ValueError):
                process.communicate("")
        left = settled(self._left, WITH_KEEPER)
        if left:
            raise Failed(f"left after a clean run: {brief(left)}{self._records()}")

    def _records(self):
        """What the keepers wrote of what is left."""
        said = []
        for path in self.ground.runtime.rglob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                record = json.loads(path.read_text())
                known = {
                    name: record.get(name)
                    for name in ("state", "pid", "start", "owner", "until", "pinned", "keeper")
                }
                said.append(f"\n{path.relative_to(self.ground.runtime)} {known}")
        logs = self.ground.runtime.rglob("keeper.log")
        said += [f"\n{path.read_text()}" for path in logs]
        return "".join(said)

    def _left(self):
        """Everything but a keeper and its own files."""
        ground = self.ground
        found = [
            f"{name} {detail[:400]}" for name, detail in ground.processes(keepers=False).items()
        ]
        found += ground.servers_left()
        if ALONE:
            found += [
                f"segment {row.split()[1]}"
                for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
            ]
            found += [str(path) for path in Path("/dev/shm").glob("PostgreSQL.*")]
        return sorted(found)

    def end(self):
        """At the very end the keeper, too, must have left, and nothing half made be in the cache.

        Raises:
            Failed: It has not, or is.
        """
        left = settled(self.ground.left, 10.0)
        if left:
            raise Failed(f"left at the end: {left}")
        drafts = self.ground.drafts_left()
        if drafts:
            raise Failed(f"half made and left: {drafts}")


def clear_segments():
    """Remove what was left of shared memory, once it was told of."""
    if ALONE:
        for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            subprocess.run(["ipcrm", "-m", row.split()[1]], check=False)


def brief(left):
    """What is left without the files of a data directory."""
    return [one for one in left if "/data/" not in one or " " in one]


def tail(log, lines=15):
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def run(seed, kills, only=None, seconds=None, say=lambda _line: None):
    """Return the tally of a storm."""
    base = make_base()
    end = time.monotonic() + seconds if seconds else None
    storm = Storm(base, seed)
    number = 0 if only is None else only - 1
    try:
        while True:
            number += 1
            try:
                storm.round(number)
            except Failed as failed:
                again = f"python tests/chaos/storm.py --seed {seed} --round {number}"
                storm.tally.failures.append(f"{again}\n    {failed}".replace("\n", "\n    "))
                say(storm.tally.failures[-1])
                storm.ground.end()
                storm = _anew(storm, base, number)
            if number % 20 == 0:
                say(
                    f"{storm.tally.killed} killed in {storm.tally.rounds} rounds, {len(storm.tally.failures)} failures"
                )
            over = end is not None and time.monotonic() > end
            if only is not None or storm.tally.killed >= kills or over:
                break
        try:
            storm.end()
        except Failed as failed:
            storm.tally.failures.append(str(failed))
    finally:
        storm.ground.end()
        shutil.rmtree(base, ignore_errors=True)
    return storm.tally


def _anew(storm, base, number):
    """Go on after a failure on a ground of its own, which what was left cannot disturb."""
    clear_segments()
    place = base / f"after-{number}"
    place.mkdir(mode=0o711)
    place.chmod(0o711)
    successor = Storm(place, storm.seed)
    successor.tally = storm.tally
    return successor


ALONE = bool(os.environ.get("CHAOS_ALONE"))
ALONE_SCRIPT = 'mount -t tmpfs -o size=4g,mode=1777 tmpfs /dev/shm && exec "$@"'


def command(*words):
    """Return how to run a storm, with shared memory of its own where that is permitted."""
    plain = [sys.executable, str(Path(__file__)), *words]
    apart = ["unshare", "--ipc", "--mount", "sh", "-c", ALONE_SCRIPT, "sh"]
    try:
        permitted = (
            subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        permitted = False
    return [*apart, "env", "CHAOS_ALONE=1", *plain] if permitted else plain


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--round", type=int, help="this round alone")
    parser.add_argument(
        "--seconds", type=float, help="stop after so long, whatever was killed by then"
    )
    options = parser.parse_args()
    if not ALONE:
        words = command(*sys.argv[1:])
        if words[0] == "unshare":
            os.execvp(words[0], words)
    print(f"seed {options.seed}", flush=True)
    tally = run(
        options.seed,
        options.kills,
        options.round,
        options.seconds,
        say=lambda line: print(line, flush=True),
    )
    for line in tally.lines():
        print(line)
    print(
        json.dumps(
            {"killed": tally.killed, "rounds": tally.rounds, "failures": len(tally.failures)}
        )
    )
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
