from pathlib import Path

import pytest

from freshpg.core.errors import BlueprintInvalid
from freshpg.templates.migrations import parse_step


@pytest.mark.parametrize(
    "spec, kind",
    [
        ("db/schema.sql", "SqlFile"),
        ("db", "SqlFiles"),
        ("db/*.sql", "SqlFiles"),
        ("alembic:alembic.ini", "AlembicStep"),
        ("alembic:", "AlembicStep"),
        ("django", "DjangoStep"),
        ("django:shop.settings", "DjangoStep"),
        ("call:shop.db:create_all", "CallStep"),
        ("eventsourcing:shop.events:Shop", "EventsourcingStep"),
        ("run:./migrate.sh --all", "CommandStep"),
    ],
)
def test_every_way_to_write_a_step_is_understood(spec: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    step = parse_step(spec, tmp_path)
    assert (type(step).__name__, step.spec) == (kind, spec)


def test_a_callable_is_a_step(tmp_path: Path) -> None:
    assert parse_step(parse_step, tmp_path).spec == "freshpg.templates.migrations.parse.parse_step"


@pytest.mark.parametrize(
    "spec, remedy",
    [
        ("alembik:alembic.ini", "did you mean alembic:?"),
        ("cal:a:b", "did you mean call:?"),
        ("dbmate:db/migrations", "run:dbmate --migrations-dir db/migrations"),
        ("eventsourcing:shop.events", "eventsourcing:module:Application"),
        ("call:shop", "call:module:function"),
        ("call:shop:", "call:module:function"),
        ("run:", "run:command"),
        ("ftp://x", "path/to/file.sql"),
    ],
)
def test_anything_else_is_refused_with_the_nearest_kind(
    spec: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(BlueprintInvalid) as caught:
        parse_step(spec, tmp_path)
    assert remedy in "; ".join(caught.value.todo)
    assert repr(spec) == caught.value.on
