import pytest

from freshpg.core.clock import SystemClock
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.templates.blueprint import Blueprint
from freshpg.templates.builder import BuildSite, TemplateBuilder
from freshpg.templates.collect import collect, list_templates, too_old
from freshpg.templates.records import TemplateRecord

HOUR = 3600.0


class Later(SystemClock):
    """The machine's clock, some seconds ahead."""

    def __init__(self, seconds):
        self.seconds = seconds

    def time(self):
        return super().time() + self.seconds


@pytest.fixture
def build(server, tmp_path):
    """Build a template as a process of its own would, and let go of it; returns its name."""

    def build(text="SELECT 1", ahead=0.0):
        (tmp_path / "a.sql").write_text(text)
        site = BuildSite(own=False, tests=server.with_(user="postgres"))
        with Admin.connect(server) as admin:
            builder = TemplateBuilder(admin, site, clock=Later(ahead))
            return builder.ensure(Blueprint("main", "shop_test", ["a.sql"], root=tmp_path)).name

    return build


def record(name, used):
    return TemplateRecord(name, "main", "", used, used, 1.0, 1, {})


def test_the_last_used_of_each_name_are_kept():
    records = [record(f"a_template_{n}", used=100.0 + n) for n in range(4)]
    records.append(record("b_template_1", used=1.0))
    going = too_old(records, now=200.0, keep=2, max_age=1000)
    assert [one.name for one in going] == ["a_template_1", "a_template_0"]


def test_one_unused_for_too_long_goes_even_when_it_is_the_only_one():
    assert too_old([record("a_template_1", used=0.0)], now=101.0, keep=5, max_age=100)


def test_templates_are_listed_with_size_and_build_time(admin, build):
    name = build("CREATE TABLE a AS SELECT generate_series(1, 10) AS id")
    (found,) = list_templates(admin)
    assert (found.name, found.blueprint, found.steps) == (name, "main", 1)
    assert found.size > 1_000_000
    assert 0 < found.seconds < 30
    assert found.used == pytest.approx(found.made, abs=2)


def test_old_templates_are_collected(admin, build):
    old, new = build("SELECT 1", ahead=-10 * HOUR), build("SELECT 2")
    assert collect(Databases(admin), keep=1) == [old]
    assert [one.name for one in list_templates(admin)] == [new]


def test_a_template_in_use_is_never_collected(admin, server, tmp_path, build):
    name = build()
    site = BuildSite(own=False, tests=server.with_(user="postgres"))
    with Admin.connect(server) as other:
        builder = TemplateBuilder(other, site)
        builder.ensure(Blueprint("main", "shop_test", ["a.sql"], root=tmp_path))
        assert list_templates(admin)[0].in_use
        assert collect(Databases(admin), keep=0) == []
        builder.release(name)
        assert collect(Databases(admin), keep=0) == [name]


def test_our_own_use_counts_too(admin, server, tmp_path, build):
    build()
    builder = TemplateBuilder(admin, BuildSite(own=False, tests=server.with_(user="postgres")))
    name = builder.ensure(Blueprint("main", "shop_test", ["a.sql"], root=tmp_path)).name
    assert collect(Databases(admin), keep=0) == []
    builder.release(name)


def test_a_use_is_noted_at_most_once_an_hour(admin, build):
    build()
    first = list_templates(admin)[0].used
    build(ahead=0.5 * HOUR)
    assert list_templates(admin)[0].used == first
    build(ahead=2 * HOUR)
    assert list_templates(admin)[0].used == pytest.approx(first + 2 * HOUR, abs=30)


def test_databases_of_others_are_not_listed(admin):
    admin.execute("CREATE DATABASE shop_test_template_000000000000")
    assert list_templates(admin) == []
    assert collect(Databases(admin), keep=0) == []
