"""The kind ``eventsourcing:``: the tables of an application, whatever way it is named."""

import pytest

from freshpg.errors import BlueprintInvalid, MigrationFailed, MigrationMissing
from freshpg.templates.migrations.parse import parse_step

NAME = "ledger_of_tests"
OF_LEDGER = ["ledger_events", "ledger_snapshots"]


@pytest.fixture
def empty(make_database):
    return make_database().name


@pytest.mark.parametrize(
    "named, tables",
    [
        (f"{NAME}:Ledger", OF_LEDGER),
        pytest.param(f"{NAME}:make", OF_LEDGER, marks=pytest.mark.slow),
        pytest.param(f"{NAME}:make_without_settings", OF_LEDGER, marks=pytest.mark.slow),
        (f"{NAME}_made:app", OF_LEDGER),
        (f"{NAME}:system", ["counting_events", "counting_tracking", *OF_LEDGER]),
    ],
)
def test_the_tables_are_made(apply, empty, named, tables):
    assert apply(empty, f"eventsourcing:{named}") == tables


def test_settings_of_the_environment_do_not_lead_elsewhere(apply, empty, monkeypatch):
    monkeypatch.setenv("LEDGER_POSTGRES_DBNAME", "production")
    monkeypatch.setenv("PERSISTENCE_MODULE", "eventsourcing.popo")

    assert apply(empty, f"eventsourcing:{NAME}:Ledger") == OF_LEDGER


def test_an_application_that_goes_elsewhere_is_found_out(apply, empty):
    with pytest.raises(MigrationFailed, match="holds no table"):
        apply(empty, f"eventsourcing:{NAME}:make_elsewhere")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, seen", [("make_nothing", "it is NoneType"), ("nothing", "nothing"), ("Money", "Money")]
)
def test_what_is_no_application_is_named(apply, empty, name, seen):
    with pytest.raises(MigrationFailed, match=seen):
        apply(empty, f"eventsourcing:{NAME}:{name}")


def test_the_module_and_the_library_are_inputs(project):
    step = parse_step(f"eventsourcing:{NAME}:Ledger", project)
    other = parse_step(f"eventsourcing:{NAME}:make", project)

    assert [one.name for one in step.inputs().fixed] == [step.spec, f"{NAME}.py"]
    assert step.inputs().fixed[0].digest != other.inputs().fixed[0].digest


def test_a_missing_module_is_named_before_anything_runs(tmp_path):
    with pytest.raises(MigrationMissing, match=r"shop/events\.py"):
        parse_step("eventsourcing:shop.events:Shop", tmp_path).inputs()


def test_an_incomplete_step_is_refused(tmp_path):
    with pytest.raises(BlueprintInvalid, match="eventsourcing:module:Application"):
        parse_step("eventsourcing:shop.events", tmp_path)
