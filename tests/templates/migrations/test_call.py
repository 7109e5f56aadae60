import functools
import os
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.errors import MigrationFailed, MigrationMissing, MigrationTimedOut, UsageInvalid
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.arguments import wanted_by
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.call import CallStep
from freshpg.templates.migrations.incode import CallableStep


@pytest.fixture
def write(target: Target) -> Callable[[str], CallStep]:
    def write(text: str, name: str = "migration") -> CallStep:
        (target.root / f"{name}.py").write_text(textwrap.dedent(text))
        return CallStep(f"call:{name}:run", name, "run", target.root)

    return write


def failure(step: CallStep | CallableStep, target: Target) -> MigrationFailed:
    with pytest.raises(MigrationFailed) as caught:
        step.apply(target, Deadline(20))
    return caught.value


WAYS = {
    "url by annotation": """
        import psycopg
        def run(where: str):
            with psycopg.connect(where) as conn:
                conn.execute("CREATE TABLE made ()")
        """,
    "environment": """
        import os, psycopg
        def run():
            with psycopg.connect("") as conn:
                assert os.environ["FRESHPG_URL"] == os.environ["DATABASE_URL"]
                conn.execute("CREATE TABLE made ()")
        """,
    "psycopg": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import psycopg
        def run(c: psycopg.Connection[tuple]) -> None:
            c.execute("CREATE TABLE made ()")
        """,
    "psycopg by name": """
        def run(conn):
            conn.execute("CREATE TABLE made ()")
        """,
    "psycopg async": """
        from psycopg import AsyncConnection
        async def run(conn: AsyncConnection):
            await conn.execute("CREATE TABLE made ()")
        """,
    "asyncpg": """
        import asyncpg
        async def run(conn: asyncpg.Connection):
            await conn.execute("CREATE TABLE made ()")
        """,
    "engine": """
        from sqlalchemy import Column, Engine, Integer, MetaData, Table
        metadata = MetaData()
        Table("made", metadata, Column("id", Integer, primary_key=True))
        def run(engine: Engine):
            metadata.create_all(engine)
        """,
    "session": """
        from sqlalchemy import text
        from sqlalchemy.orm import Session
        def run(session: Session):
            session.execute(text("CREATE TABLE made ()"))
        """,
    "async engine": """
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncEngine
        async def run(engine: AsyncEngine):
            async with engine.begin() as conn:
                await conn.execute(text("CREATE TABLE made ()"))
        """,
    "conninfo": """
        import psycopg
        from freshpg.core.conninfo import Conninfo
        def run(address: Conninfo):
            with psycopg.connect(**address.keywords()) as conn:
                conn.execute("CREATE TABLE made ()")
        """,
}


SLOW = {"session", "async engine"}  # SQLAlchemy once more: importing it takes most of a second


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.slow) if way in SLOW else way for way in WAYS]
)
def test_a_function_gets_the_database_as_its_parameter_asks(
    way: str, write, target: Target, inside: Admin, deadline: Deadline
) -> None:
    write(WAYS[way]).apply(target, deadline)
    assert inside.value("SELECT to_regclass('public.made')::text") == "made"


def test_a_function_is_called_in_another_process_that_sees_the_project(
    write, target: Target, deadline: Deadline
) -> None:
    (target.root / "src").mkdir()
    (target.root / "src" / "helper.py").write_text("NAME = 'helped'")
    write(
        """
        import os, pathlib, sys, helper
        def run():
            pathlib.Path("seen").write_text(f"{helper.NAME} {os.getcwd()} {os.getsid(0) == os.getpid()} {sys.stdin.read()!r}")
        """
    ).apply(target, deadline)
    assert (target.root / "seen").read_text() == f"helped {target.root} True ''"
    assert "helper" not in sys.modules


def test_an_exception_shows_file_line_and_code_of_the_project(write, target: Target) -> None:
    error = failure(
        write("def run():\n    print('working')\n    raise ValueError('no such shop')\n"), target
    )
    assert error.on == "migration.py:3"
    assert error.seen.startswith(
        "ValueError: no such shop\nline 3: raise ValueError('no such shop')\n| working"
    )


def test_a_refused_statement_shows_the_servers_words(write, target: Target) -> None:
    error = failure(write("def run(conn):\n    conn.execute('SELECT length(1)')\n"), target)
    assert (error.data["sqlstate"], error.data["line"]) == ("42883", 2)
    assert "HINT: No function matches" in error.seen


def test_a_refused_statement_below_sqlalchemy_shows_statement_and_words(
    write, target: Target
) -> None:
    error = failure(
        write(
            """
            from sqlalchemy import Engine, text
            def run(engine: Engine):
                with engine.begin() as conn:
                    conn.execute(text("SELECT * FROM nowhere"))
            """
        ),
        target,
    )
    assert (error.data["sqlstate"], error.data["statement"]) == ("42P01", "SELECT * FROM nowhere")
    assert error.on == "migration.py:5"


def test_what_a_failing_function_wrote_is_rolled_back(write, target: Target, inside: Admin) -> None:
    failure(write("def run(conn):\n    conn.execute('CREATE TABLE made ()')\n    1 / 0\n"), target)
    assert inside.value("SELECT to_regclass('public.made')") is None


@pytest.mark.parametrize(
    "body, words",
    [
        ("import sys; sys.exit(0)", "sys.exit(0)"),
        ("import os; os._exit(0)", "with status 0 before it was done"),
        ("import os; os.kill(os.getpid(), 11)", "by signal 11"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
    ],
)
def test_a_function_that_ends_its_process_has_failed(
    write, target: Target, body: str, words: str
) -> None:
    assert words in str(failure(write(f"def run():\n    {body}\n"), target))


def test_a_thread_that_never_ends_does_not_keep_the_step_waiting(
    write, target: Target, deadline: Deadline
) -> None:
    write(
        """
        import threading
        def run():
            threading.Thread(target=threading.Event().wait).start()
        """
    ).apply(target, deadline)


def test_a_missing_function_is_a_failure_that_names_it(write, target: Target) -> None:
    assert "has no attribute 'run'" in failure(write("x = 1"), target).seen


def test_a_syntax_error_is_found_in_its_line(write, target: Target) -> None:
    assert failure(write("x = 1\ndef run(:\n"), target).on == "migration.py:2"


def test_a_missing_module_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(MigrationMissing) as caught:
        CallStep("call:no.such:run", "no.such", "run", tmp_path).inputs()
    assert "no/such.py" in caught.value.seen


def test_a_function_that_hangs_is_killed_and_its_stack_shown(write, target: Target) -> None:
    step = write(
        """
        import os, pathlib
        def run(conn):
            pathlib.Path("pid").write_text(str(os.getpid()))
            wait_for_ever(conn)
        def wait_for_ever(conn):
            conn.execute("SELECT pg_sleep(600)")
        """
    )
    with pytest.raises(MigrationTimedOut) as caught:
        step.apply(target, Deadline(1.5))
    assert "in wait_for_ever" in caught.value.seen
    assert "Timeout/PgSleep" in caught.value.seen
    with pytest.raises(ProcessLookupError):
        os.kill(int((target.root / "pid").read_text()), 0)


def test_inputs_are_the_module_and_what_it_imports_from_the_project(tmp_path: Path) -> None:
    files = {
        "src/shop/__init__.py": "",
        "src/shop/db.py": "import json, psycopg\nfrom . import models\nfrom shop.base import Base\n",
        "src/shop/models/__init__.py": "from .order import Order",
        "src/shop/models/order.py": "from ..base import Base",
        "src/shop/base.py": "import shop.db",
        "src/shop/views.py": "",
        ".venv/lib/python3.11/site-packages/psycopg.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    step = CallStep("call:shop.db:create_all", "shop.db", "create_all", tmp_path)
    before = step.inputs()
    assert [one.name for one in before.fixed[1:]] == [
        "src/shop/__init__.py",
        "src/shop/base.py",
        "src/shop/db.py",
        "src/shop/models/__init__.py",
        "src/shop/models/order.py",
    ]
    (tmp_path / "src/shop/views.py").write_text("x = 1")
    assert step.inputs() == before
    (tmp_path / "src/shop/models/order.py").write_text("x = 1")
    assert step.inputs() != before


def make_table(conn, name: str = "made") -> None:
    conn.execute(f"CREATE TABLE {name} ()")


class TestInCode:
    def test_a_callable_gets_a_connection_and_its_work_is_committed(
        self, target: Target, inside: Admin, deadline: Deadline
    ) -> None:
        CallableStep(make_table, target.root).apply(target, deadline)
        CallableStep(functools.partial(make_table, name="other"), target.root).apply(
            target, deadline
        )
        assert inside.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 2

    def test_a_coroutine_function_is_awaited(self, target: Target, deadline: Deadline) -> None:
        seen = []

        async def run(url: str) -> None:
            seen.append(url)

        CallableStep(run, target.root).apply(target, deadline)
        assert seen == [target.conninfo.url()]

    def test_its_failure_names_the_line_and_keeps_the_cause(self, target: Target) -> None:
        error = failure(
            CallableStep(lambda conn: conn.execute("SELECT nonsense"), target.root), target
        )
        assert error.data["sqlstate"] == "42703"
        assert error.data["file"].endswith("test_call.py")
        assert error.__cause__ is not None

    def test_one_that_hangs_is_given_up_with_its_stack(self, target: Target) -> None:
        release = threading.Event()

        def wait_for_ever() -> None:
            release.wait(10)

        with pytest.raises(MigrationTimedOut) as caught:
            CallableStep(wait_for_ever, target.root).apply(target, Deadline(0.1))
        release.set()
        assert "in wait_for_ever" in caught.value.seen
        assert "does not wait for the server" in caught.value.seen

    def test_inputs_tell_callables_and_arguments_apart(self, tmp_path: Path) -> None:
        def digest_of(function: Callable[..., object]) -> object:
            return CallableStep(function, tmp_path).inputs().fixed[0]

        one = digest_of(make_table)
        assert digest_of(functools.partial(make_table, name="a")) != one
        assert digest_of(functools.partial(make_table, name="a")) != digest_of(
            functools.partial(make_table, name="b")
        )
        assert digest_of(failure) != one
        assert digest_of(make_table) == one

    def test_parameters_that_are_not_understood_are_refused(self) -> None:
        def two(conn: object, more: object) -> None: ...

        def number(conn: int) -> None: ...

        def keyword(*, conn: str) -> None: ...

        for function in (two, number, keyword):
            with pytest.raises(UsageInvalid):
                wanted_by(function)

    def test_parameters_with_defaults_are_left_alone(self) -> None:
        def run(url: str, echo: bool = False) -> None: ...

        def alone(echo: bool = False, *rest: object, **more: object) -> None: ...

        assert (wanted_by(run), wanted_by(alone)) == ("str", None)
