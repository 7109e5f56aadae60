"""``freshpg demo``: a whole test suite run before one's eyes, every figure measured in that run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshpg.cli import exits
from freshpg.cli.command import command as make_command
from freshpg.cli.demo_project import write_demo_project
from freshpg.cli.output import bold, duration, faint, print_json, say, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freshpg.core.conninfo import Conninfo

WORKERS = "2"
PATIENCE = 10.0
"""Seconds until what still stands counts as left behind: the keeper waits one for a next run."""

FAIR = ("-m", "not needs_freshpg")
"""What runs both ways: the rest rests on levels of isolation that plain databases do not have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of a suite: what pytest counted, wall-clock seconds, and the lines of freshpg in its output."""

    title: str
    exit_code: int
    tests: int
    seconds: float
    lines: tuple[str, ...]


@make_command(
    "demo", examples=(("freshpg demo", "the web shop of the examples, under two workers"),)
)
def command(*, as_json: bool) -> int:
    """See a real suite run, and what it takes the usual way.

    The suite is examples/shop of the checkout, or a small one of its own where freshpg is installed from a wheel.
    Servers and cache are private to the demo and gone afterwards.
    """
    with _ground() as (ground, project):
        demo = _Demo(project, ground, streams=not as_json)
        outcomes = demo.run()
        left = _left_behind(ground)
    good = not left and all(outcome.exit_code == 0 for outcome in outcomes)
    if as_json:
        print_json(
            {
                "project": str(project),
                "server": demo.server,
                "runs": [asdict(outcome) for outcome in outcomes],
                "left_behind": left,
                "good": good,
            }
        )
    else:
        _conclude(outcomes, left)
    return exits.DONE if good else exits.FAILED


@contextmanager
def _ground() -> Iterator[tuple[Path, Path]]:
    """Yield a private place for servers and cache, and the project."""
    # A demo that is told to end clears away like one that came to its end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from freshpg.status.grounds import make_ground

    ground = make_ground()
    shop = Path(__file__).parents[3] / "examples" / "shop"
    try:
        yield ground, shop if (shop / "pyproject.toml").is_file() else write_demo_project(ground)
    finally:
        shutil.rmtree(ground, ignore_errors=True)


class _Demo:
    """The runs, each told as it happens."""

    def __init__(self, project: Path, ground: Path, *, streams: bool) -> None:
        self.project = project
        self.server = ""
        self._streams = streams
        ours = {
            "FRESHPG_RUNTIME": str(ground),
            "FRESHPG_CACHE": str(ground / "cache"),
            "FRESHPG_LINGER": "0",
        }
        os.environ.update(ours)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self) -> list[Outcome]:
        from freshpg.core.settings import load_settings
        from freshpg.provision.session import choose

        choice = choose(load_settings(self.project, environment=os.environ))
        self.server = f"{choice.provider}: {choice.why}"
        self._tell(f"{bold('server')}  {self.server}")
        first = self._suite("every test", ())
        if first.exit_code:
            return [first]
        built = self._tell_images(())
        second = self._suite("the tests that also run the plain way", FAIR)
        self._tell_images(built)
        return [first, second, self._plain_suite()]

    def _tell_images(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Tell which images the last run made beside the known ones; return all."""
        from freshpg.status.remains import image_store

        images = [image for image in image_store().list() if image.manifest.templates]
        made = [image for image in images if image.key not in known]
        for image in made:
            took, room = duration(image.manifest.build_seconds), size(image.manifest.pack_bytes)
            self._tell(f"  template built in {took}, once for both workers; its image takes {room}")
        if not made:
            self._tell("  template reused: nothing was built")
        return tuple(image.key for image in images)

    def _plain_suite(self) -> Outcome:
        """Run the same tests with a database created and migrated for each, on the same server with the same tuning."""
        from freshpg.manager import DatabaseManager
        from freshpg.provision.own import Variant

        alone = Variant(replicating=True, purpose="demo")
        with (
            DatabaseManager.from_project(
                self.project, holder="freshpg demo", variant=alone
            ) as manager,
            manager.lease(isolation="server") as lent,
        ):
            admin: Conninfo = lent.conninfo.with_(dbname="postgres")
            return self._suite(
                "the same tests, each on a database created and migrated for it",
                (*FAIR, "-p", "no:freshpg"),
                {"SHOP_TEST_MODE": "plain", "SHOP_ADMIN_URL": admin.url()},
            )

    def _suite(
        self, title: str, options: tuple[str, ...], variables: Mapping[str, str] | None = None
    ) -> Outcome:
        self._tell(f"\n{bold('pytest')}  {title}")
        began = time.monotonic()
        code, lines = self._pytest(options, variables or {})
        seconds = time.monotonic() - began
        counted = [found for line in lines if (found := re.search(r"(\d+) passed", line))]
        outcome = Outcome(
            title,
            code,
            int(counted[-1][1]) if counted else 0,
            seconds,
            tuple(line for line in lines if line.startswith("freshpg")),
        )
        self._tell(f"  {outcome.tests} tests in {duration(seconds)}, start of Python included")
        return outcome

    def _pytest(
        self, options: tuple[str, ...], variables: Mapping[str, str]
    ) -> tuple[int, list[str]]:
        neighbours = ("randomly", "django", "pytest_postgresql", "cacheprovider")
        argv = [sys.executable, "-m", "pytest", "-n", WORKERS]
        argv += [word for name in neighbours for word in ("-p", f"no:{name}")]
        lines = []
        with subprocess.Popen(
            [*argv, *options],
            cwd=self.project,
            env={**self._environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
            try:
                for line in process.stdout:
                    lines.append(line.rstrip())
                    if line.strip():
                        self._tell(faint(f"  | {line.rstrip()}"))
            except BaseException:
                process.terminate()
                raise
        return process.returncode, lines

    def _tell(self, text: str) -> None:
        if self._streams:
            click.echo(text)


def _left_behind(ground: Path) -> list[str]:
    """Return processes and directories of the demo that do not go away."""
    end = time.monotonic() + PATIENCE
    while (left := _there(ground)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _there(ground: Path) -> list[str]:
    """Return what there is now: processes, and runtime directories, which hold servers and sockets."""
    directories = [f"directory {path}" for path in ground.glob("freshpg-*")]
    return [f"process {pid}" for pid in _processes_below(ground)] + directories


def _processes_below(ground: Path) -> list[int]:
    """Ask the system which processes name the place in their words or work in it."""
    listing = subprocess.run(
        [shutil.which("ps") or "ps", "-axww", "-o", "pid=,command="],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    ).stdout
    named = {int(line.split()[0]) for line in listing.splitlines() if f"{ground}/" in line}
    return sorted(named - {os.getpid()})


def _conclude(outcomes: list[Outcome], left: list[str]) -> None:
    click.echo(f"\n{bold('result')}")
    for outcome in outcomes:
        click.echo(f"  {outcome.tests:4} tests  {outcome.seconds:6.1f} s  {outcome.title}")
    if len(outcomes) == 3 and all(outcome.exit_code == 0 for outcome in outcomes):
        _, ours, plain = outcomes
        click.echo(f"  the plain way takes {plain.seconds / ours.seconds:.1f} times as long")
    for thing in left:
        say(f"  left behind: {thing}")
    if not left:
        click.echo("  left behind: nothing, neither processes nor directories")
