from pathlib import Path

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import (
    BlueprintInvalid,
    MigrationFailed,
    MigrationMissing,
    MigrationTimedOut,
)
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.child import environment_for
from freshpg.templates.migrations.command import CommandStep


def step(root: Path, command: str) -> CommandStep:
    return CommandStep(f"run:{command}", command, root)


def script(root: Path, text: str, name: str = "migrate.sh") -> CommandStep:
    (root / name).write_text(f"#!/bin/sh\n{text}\n")
    (root / name).chmod(0o755)
    return step(root, f"./{name}")


def gone(pid: int) -> bool:
    limit = Deadline(5)
    while not limit.expired:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
    return False


def test_a_command_finds_the_database_in_its_environment(
    target: Target, inside: Admin, deadline: Deadline, bindir: Path
) -> None:
    migrate = f'{bindir}/psql -Xqc "CREATE TABLE t (a text)" && {bindir}/psql -Xqc "INSERT INTO t VALUES (\'$0 $PWD\')" "$DATABASE_URL"'
    script(target.root, migrate).apply(target, deadline)
    assert inside.value("SELECT a FROM t") == f"{target.root}/migrate.sh {target.root}"


def test_nothing_of_our_own_environment_leads_to_another_database(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVICE", "production")
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://production")
    monkeypatch.setenv("PG_COLOR", "always")
    environment = environment_for(target.conninfo)
    assert "PGSERVICE" not in environment
    assert "PGHOSTADDR" not in environment
    assert environment["DATABASE_URL"] == target.conninfo.url()
    assert environment["PG_COLOR"] == "always"


def test_a_failing_command_shows_its_status_and_the_end_of_its_output(
    target: Target, deadline: Deadline
) -> None:
    failing = script(target.root, "for i in 1 2 3; do echo line $i; done; echo broken >&2; exit 3")
    with pytest.raises(MigrationFailed) as caught:
        failing.apply(target, deadline)
    assert caught.value.data["status"] == 3
    assert caught.value.seen == "| line 1\n| line 2\n| line 3\n| broken"


def test_a_command_ended_by_a_signal_says_so(target: Target, deadline: Deadline) -> None:
    with pytest.raises(MigrationFailed) as caught:
        script(target.root, "kill -9 $$").apply(target, deadline)
    assert "signal 9" in caught.value.failed


def test_words_are_split_as_a_shell_does_but_no_shell_reads_them(
    target: Target, deadline: Deadline
) -> None:
    script(target.root, 'for word; do echo "$word" >> out; done')
    step(target.root, "./migrate.sh 'two words' '$HOME;' a\\ b").apply(target, deadline)
    assert (target.root / "out").read_text() == "two words\n$HOME;\na b\n"


def test_a_command_that_hangs_is_killed_with_all_it_started(target: Target, bindir: Path) -> None:
    hanging = script(
        target.root,
        f'echo started; sleep 600 & echo $! > grandchild; echo $$ > child; {bindir}/psql -Xc "SELECT pg_sleep(600)"',
    )
    with pytest.raises(MigrationTimedOut) as caught:
        hanging.apply(target, Deadline(0.7))
    assert "| started" in caught.value.seen
    assert "Timeout/PgSleep" in caught.value.seen
    for name in ("child", "grandchild"):
        assert gone(int((target.root / name).read_text()))


def test_what_a_finished_command_left_running_is_killed_too(
    target: Target, deadline: Deadline
) -> None:
    script(target.root, "sleep 600 & echo $! > grandchild").apply(target, deadline)
    assert gone(int((target.root / "grandchild").read_text()))


def test_a_command_that_reads_its_input_finds_none(target: Target, deadline: Deadline) -> None:
    script(target.root, "cat > out").apply(target, deadline)
    assert (target.root / "out").read_bytes() == b""


def test_a_missing_program_is_named_before_anything_runs(tmp_path: Path) -> None:
    for command in ("no-such-program --all", "./migrate.sh"):
        with pytest.raises(MigrationMissing) as caught:
            step(tmp_path, command).inputs()
        assert command.split()[0] in caught.value.seen


def test_a_script_that_may_not_be_executed_says_how_to_change_that(tmp_path: Path) -> None:
    (tmp_path / "migrate.sh").write_text("")
    with pytest.raises(MigrationMissing) as caught:
        step(tmp_path, "./migrate.sh").inputs()
    assert "chmod +x ./migrate.sh" in caught.value.todo[0]


def test_an_open_quote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlueprintInvalid):
        step(tmp_path, "echo 'a").inputs()


def test_inputs_are_the_words_and_the_files_they_name(tmp_path: Path) -> None:
    (tmp_path / "sql" / "deep").mkdir(parents=True)
    (tmp_path / "sql" / "deep" / "1.sql").write_text("a")
    (tmp_path / "other.sql").write_text("a")
    script(tmp_path, "true")
    names = [one.name for one in step(tmp_path, "./migrate.sh sql /etc/passwd .").inputs().fixed]
    assert names == ["run:./migrate.sh sql /etc/passwd .", "migrate.sh", "sql/deep/1.sql"]
    before = step(tmp_path, "./migrate.sh sql").inputs()
    (tmp_path / "sql" / "deep" / "1.sql").write_text("b")
    assert step(tmp_path, "./migrate.sh sql").inputs() != before


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_descriptor_is_left(target: Target, deadline: Deadline) -> None:
    command = script(target.root, "true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    command.apply(target, deadline)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
