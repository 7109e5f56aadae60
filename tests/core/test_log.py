"""The log of errors: whole lines from every process, bounded, and never a secret."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from freshpg.core.events import Bus, Event, Progress
from freshpg.core.log import LONGEST_TEXT, ErrorLog

WRITERS = """
import sys
from pathlib import Path
from freshpg.core.log import ErrorLog
log = ErrorLog(Path(sys.argv[1]), who=sys.argv[2], limit=20_000, files=50)
for turn in range(200):
    log.write("yours", turn=turn, seen="x" * 300)
assert not log.problem, log.problem
"""


@dataclass(frozen=True, slots=True)
class ServerLost(Event):
    """Like the events of supervision."""

    logged: ClassVar[bool] = True
    server: str
    lines: tuple[str, ...] = ()


def entries(directory):
    """Every line of every file, parsed."""
    return [
        json.loads(line)
        for path in directory.glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]


def test_nothing_is_made_before_the_first_line(tmp_path):
    ErrorLog(tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_line_says_who_when_and_what(tmp_path):
    log = ErrorLog(tmp_path / "a" / "log", who="gw1")
    log.write("infrastructure", code="FPG-S08", on="", test="t.py::test_[\x1b\udcff]")
    (entry,) = entries(tmp_path / "a" / "log")
    assert entry.pop("at").endswith("+00:00")
    assert entry == {
        "v": 1,
        "pid": os.getpid(),
        "who": "gw1",
        "kind": "infrastructure",
        "code": "FPG-S08",
        "test": "t.py::test_[\x1b\udcff]",
    }
    assert b"\x1b" not in log.path.read_bytes()


def test_only_events_about_failures_are_logged(tmp_path):
    bus, log = Bus(), ErrorLog(tmp_path)
    bus.subscribe(log.take)
    bus.emit(Progress("building"))
    bus.emit(ServerLost("a1", ("PANIC", "gone")))
    (entry,) = entries(tmp_path)
    assert (entry["kind"], entry["server"], entry["lines"]) == (
        "ServerLost",
        "a1",
        ["PANIC", "gone"],
    )


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hush-hush@db/x",
        "could not connect: password=hush-hush host=db",
        "it answered hush-hush",
    ],
)
def test_no_password_is_written(tmp_path, text):
    log = ErrorLog(tmp_path, secrets=["hush-hush", None, ""])
    log.write("ours", seen=text, do=(text,), on={"url": text})
    log.take(ServerLost(text, (text,)))
    assert len(entries(tmp_path)) == 2
    assert b"hush" not in log.path.read_bytes()


def test_a_long_text_is_cut(tmp_path):
    log = ErrorLog(tmp_path)
    log.write("yours", seen="x" * 100_000)
    assert len(entries(tmp_path)[0]["seen"]) == LONGEST_TEXT


def test_size_and_number_of_files_are_bounded_and_the_newest_lines_stay(tmp_path):
    log = ErrorLog(tmp_path, limit=1000, files=3)
    for turn in range(100):
        log.write("yours", turn=turn)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["errors.1.jsonl", "errors.2.jsonl", "errors.jsonl"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    turns = sorted(entry["turn"] for entry in entries(tmp_path))
    assert turns == list(range(turns[0], 100))


def test_several_processes_write_whole_lines_and_lose_none_while_files_are_full(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITERS, str(tmp_path), name]) for name in "abc"
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    found = sorted((entry["who"], entry["turn"]) for entry in entries(tmp_path))
    assert found == [(name, turn) for name in "abc" for turn in range(200)]
    assert len(list(tmp_path.iterdir())) > 2


def test_only_its_owner_reads_it(tmp_path):
    log = ErrorLog(tmp_path)
    log.write("yours")
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def plant_link(path):
    path.symlink_to(path.with_name("victim"))


@pytest.mark.parametrize("plant", [plant_link, os.mkfifo, os.mkdir])
def test_what_cannot_be_a_log_is_left_alone_and_fails_nobody(tmp_path, plant):
    log = ErrorLog(tmp_path)
    plant(log.path)
    log.write("yours")
    assert log.problem
    assert not (tmp_path / "victim").exists()
