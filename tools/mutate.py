"""Measure how many mutants of the safety core the tests notice: guard, mark, sweep, leases.

``python tools/mutate.py`` runs them all, ``python tools/mutate.py sweep`` those of one part; survivors are printed. Nothing
is written to the sources: a mutant is imported in the module's place by the one process that tries it, and by those that it starts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from equivalent_mutants import EQUIVALENT
from mutant_trials import Trials
from mutants import Mutant, mutants_of, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
GOAL = 95.0
"""Per cent, of each part."""

_SWEEP = ("tests/leases/test_sweep.py", "tests/leases/test_coordination.py")
_LEASE = ("tests/leases/test_lease.py", "tests/leases/test_lease_life.py")
_DATABASES = (
    "tests/postgres/test_databases.py",
    "tests/postgres/test_databases_guards.py",
    "tests/postgres/test_dropping.py",
)
_GUARDED = ("tests/postgres/test_guarded.py",)
_SESSIONS = ("tests/postgres/test_sessions.py",)
_SAFETY = "tests/safety/test_exchanged.py::test_"
_EXCHANGED = (
    f"{_SAFETY}what_is_exchanged_between_the_look_and_the_act_is_not_touched",
    f"{_SAFETY}sessions_of_what_was_put_under_the_name_are_not_ended",
    f"{_SAFETY}a_comment_is_put_on_no_database_but_the_new_one",
)
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mark": ("freshpg.postgres.mark", ("tests/postgres/test_mark.py",)),
    "guarded": ("freshpg.postgres.guarded", _GUARDED),
    "databases": ("freshpg.postgres.databases", (*_DATABASES, *_SWEEP, *_EXCHANGED)),
    "sessions": ("freshpg.postgres.sessions", _SESSIONS),
    "dropping": ("freshpg.postgres.dropping", _DATABASES),
    "sweep": ("freshpg.leases.sweep", _SWEEP),
    "coordination": ("freshpg.leases.coordination", _SWEEP),
    "lease": ("freshpg.leases.lease", (*_LEASE, *_SWEEP)),
    "locks": ("freshpg.leases.locks", ("tests/leases/test_locks.py", *_LEASE, *_SWEEP)),
    "registry": ("freshpg.leases.registry", _SWEEP),
    "slots": ("freshpg.leases.slots", ("tests/leases/test_slots.py", *_LEASE)),
    "forks": ("freshpg.leases.forks", ("tests/leases/test_forks.py", *_LEASE)),
    "holder": ("freshpg.leases.holder", ("tests/leases/test_holder.py",)),
}
"""Module and the tests that should notice, by a short name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant."""

    part: str
    mutant: Mutant
    noticed: bool
    how: str

    @property
    def reason(self) -> str | None:
        """Why no test could notice it."""
        return EQUIVALENT.get(self.part, {}).get(self.mutant.name)


class Shared:
    """Two clusters that live as long as the tool, so that no mutant waits for initdb."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "tests"))
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        from postgres_server import running_server  # type: ignore[import-not-found]

        self.addresses = [self._ends.enter_context(running_server()) for _ in range(2)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def clear(self) -> None:
        """Take away whatever a mutant left; what it started may still be at work."""
        from freshpg.core.errors import FreshpgError

        for _ in range(4):
            with contextlib.suppress(FreshpgError):
                self._clear()
                return
            time.sleep(1)
        self._clear()

    def _clear(self) -> None:
        from freshpg.postgres.admin import Admin
        from freshpg.postgres.quoting import ident

        for address in self.addresses:
            with Admin.connect(address) as admin:
                admin.rows(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
                for gid, database in admin.rows("SELECT gid, database FROM pg_prepared_xacts"):
                    with Admin.connect(address.with_(dbname=database)) as inside:
                        inside.execute(f"ROLLBACK PREPARED '{gid}'")
                for name, limit in admin.rows(
                    "SELECT datname, datconnlimit FROM pg_database WHERE oid >= 16384"
                ):
                    # Of one whose removal was interrupted only DROP is possible.
                    if limit >= -1:
                        admin.execute(f"ALTER DATABASE {ident(name)} IS_TEMPLATE false")
                    admin.execute(f"DROP DATABASE {ident(name)} WITH (FORCE)")
                for (role,) in admin.rows(
                    "SELECT rolname FROM pg_roles WHERE oid >= 16384 AND rolname <> 'postgres'"
                ):
                    admin.execute(f"DROP ROLE {ident(role)}")


def source_of(part: str) -> str:
    """Return the source of a part's module."""
    module, _ = PARTS[part]
    return (ROOT / "src" / Path(*module.split("."))).with_suffix(".py").read_text("utf-8")


def unknown(parts: Iterable[str]) -> list[str]:
    """Return the excluded mutants that do not exist."""
    return [
        f"{part} {name}"
        for part in parts
        for name in sorted(EQUIVALENT.get(part, {}).keys() - names_of(source_of(part)))
    ]


def try_part(
    part: str, shared: Shared, trials: Trials, known: dict[str, str], lines: range
) -> Iterator[Verdict]:
    """Yield a verdict for each mutant of one part, once its tests pass without any.

    Those that are ``known`` to be noticed, with the words of the test that did, are not tried again.
    """
    module, tests = PARTS[part]
    source = source_of(part)
    without = trials.run(module, source, tests)
    shared.clear()
    if not without.passed:
        raise SystemExit(f"{part}: its tests fail without a mutant:\n{without.said}")
    functions = {name for names in without.called.values() for name in names}
    with Trials([address.url() for address in shared.addresses], module, tests) as swift:
        for mutant in mutants_of(source):
            if mutant.line not in lines:
                continue
            if record := known.get(f"{part} {mutant.name}"):
                yield Verdict(part, mutant, noticed=True, how=record)
                continue
            callers = [test for test, names in without.called.items() if mutant.where in names]
            trial = without
            # Those first that come by; and all where these do not notice: other processes come by too.
            for only in (callers, []) if callers else ([],):
                trial = (swift if mutant.where in functions else trials).run(
                    module,
                    mutant.source,
                    tests,
                    only=only,
                    where=mutant.where,
                    seconds=20 + 3 * without.seconds,
                )
                shared.clear()
                if not trial.passed:
                    break
            last = trial.said.strip().splitlines()[-1:] or [""]
            yield Verdict(part, mutant, noticed=not trial.passed, how=last[0])


def main() -> int:
    """Print survivors and the score."""
    # As Ctrl-C does: the clusters end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    words.add_argument("--record", type=Path, help="file of what was noticed, not tried again")
    words.add_argument(
        "--lines",
        type=int,
        nargs=2,
        default=(0, 10**6),
        help="only those from one to before another",
    )
    words.add_argument("--verbose", action="store_true", help="those that were noticed, too")
    asked = words.parse_args()
    if gone := unknown(asked.parts or PARTS):
        raise SystemExit("\n".join(("equivalent_mutants.py excludes what is not there:", *gone)))
    record: Path | None = asked.record
    known = json.loads(record.read_text("utf-8")) if record and record.exists() else {}
    counted: dict[str, list[Verdict]] = {}
    with Shared() as shared, Trials([address.url() for address in shared.addresses]) as trials:
        for part in asked.parts or PARTS:
            counted[part] = []
            for verdict in try_part(part, shared, trials, known, range(*asked.lines)):
                counted[part].append(verdict)
                if verdict.noticed and record:
                    known[f"{part} {verdict.mutant.name}"] = verdict.how
                    record.write_text(json.dumps(known, indent=1), "utf-8")
                if asked.verbose or not verdict.noticed:
                    _print(verdict)
    return conclude(counted)


def _print(verdict: Verdict) -> None:
    module = PARTS[verdict.part][0]
    state = "noticed" if verdict.noticed else verdict.reason or "SURVIVED"
    print(f"{module}:{verdict.mutant.line}: {verdict.mutant.name}: {state}", flush=True)


def conclude(counted: dict[str, list[Verdict]]) -> int:
    """Print the scores; return 0 where each part reaches the goal and no exclusion is wrong."""
    every = [verdict for verdicts in counted.values() for verdict in verdicts]
    reached = True
    for part, verdicts in (*counted.items(), ("all", every)):
        equal = sum(one.reason is not None for one in verdicts)
        noticed = sum(one.noticed for one in verdicts if one.reason is None)
        score = 100 * noticed / max(1, len(verdicts) - equal)
        reached = reached and (score >= GOAL or part == "all")
        print(
            f"{part:14} {noticed:4} of {len(verdicts):4} noticed, {equal:3} equivalent: {score:5.1f} %"
        )
    wrong = [one for one in every if one.noticed and one.reason]
    for one in wrong:
        print(f"{one.part} {one.mutant.name}: noticed, so equivalent_mutants.py is wrong")
    return 0 if reached and not wrong else 1


if __name__ == "__main__":
    raise SystemExit(main())
