"""The fixture ``pg_data``, on databases the plugin hands out."""

import pytest


@pytest.mark.parametrize("level", ["reset", "clone", "rollback"])
def test_rows_are_set_up_and_verified_and_gone_for_the_next_test(suite, level):
    suite.write("rows/item.json", '[{"name": "from a file"}]')
    suite.tests(f"""
pytestmark = pytest.mark.pg(isolation="{level}")

@pytest.mark.parametrize("turn", range(2))
def test_rows(pg, pg_data, turn):
    row = pg_data.insert("item", {{"name": "mine"}})
    pg_data.load("rows/item.json")
    assert row == {{"id": 2, "name": "mine"}}
    pg_data.assert_rows("item", [{{"name": n}} for n in ("seeded", "mine", "from a file")], order_by="id")
    with pg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (3,)

def test_difference(pg, pg_data):
    before = pg_data.snapshot()
    with pg.connect() as connection:
        connection.execute("DELETE FROM item")
    assert str(pg_data.diff(before)) == "public.item\\n  - id=1 name='seeded'"
""")
    assert suite.run().counts == {"passed": 3}


def test_tables_can_be_emptied_and_get_their_seed_back(suite):
    suite.tests("""
def test_it(pg_data):
    pg_data.insert("item", {"name": "mine"})
    assert pg_data.truncate("item").rows == 2
    pg_data.assert_count("item", 0)
    pg_data.truncate("item", restore_seed=True)
    pg_data.assert_rows("item", [{"name": "seeded"}])
""")
    assert suite.run().counts == {"passed": 1}


def test_a_failed_assertion_is_shown_with_its_rows(suite):
    suite.tests("""
def test_it(pg_data): pg_data.assert_rows("item", [{"name": "other"}])
""")
    outcome = suite.run()
    assert outcome.counts == {"failed": 1}
    assert "- name='other'" in outcome.text
    assert "+ name='seeded'" in outcome.text


def test_a_helper_for_a_wider_scope_cleans_up_after_itself(suite):
    suite.tests("""
from freshpg.data import TestData

@pytest.fixture
def items(pg_module):
    with TestData(pg_module) as data:
        data.insert("item", [{"name": "a"}, {"name": "b"}])
        yield data
        assert data.clear() == {"public.item": 2}

@pytest.mark.parametrize("turn", range(2))
def test_it(items, turn): items.assert_count("item", 3)
""")
    assert suite.run().counts == {"passed": 2}


def test_names_are_the_same_for_a_test_in_every_worker_and_differ_between_tests(suite):
    suite.tests("""
import pathlib
@pytest.mark.parametrize("turn", range(4))
def test_it(pg_data, turn):
    pathlib.Path(f"name_{turn}").write_text(pg_data.unique("email"))
""")
    assert suite.run().counts == {"passed": 4}
    assert len({path.read_text() for path in suite.path.glob("name_*")}) == 4
