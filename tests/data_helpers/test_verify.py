"""Assertions hold when they should, and say what is different when they do not."""

import datetime as dt
import json
from unittest.mock import ANY

import pytest

from freshpg.errors import DataInvalid


@pytest.fixture
def nodes(data):
    data.insert("node", [{"id": 1}, {"id": 2, "parent_id": 1}, {"id": 3, "parent_id": 1}])


def message(caught):
    return str(caught.value)


@pytest.mark.usefixtures("nodes")
class TestRows:
    def test_any_order_will_do(self, data):
        data.assert_rows("node", [{"id": 3}, {"id": 1}, {"id": 2}])

    def test_only_the_columns_named_are_compared(self, data):
        data.assert_rows("node", [{"id": ANY, "parent_id": None}], where={"parent_id": None})
        data.assert_rows("node", [{"id": 2, "parent_id": 9}], columns=["id"], where={"id": 2})

    def test_an_order_is_compared_when_named(self, data):
        data.assert_rows("node", [{"id": 3}, {"id": 2}, {"id": 1}], order_by="-id")
        with pytest.raises(AssertionError) as caught:
            data.assert_rows("node", [{"id": 1}, {"id": 3}, {"id": 2}], order_by=["id"])
        assert message(caught).splitlines()[1:] == [
            "    id=1",
            "  - id=3",
            "  + id=2",
            "  - id=2",
            "  + id=3",
        ]

    def test_a_difference_is_shown_as_what_is_missing_and_what_is_too_many(self, data):
        with pytest.raises(AssertionError) as caught:
            data.assert_rows("node", [{"id": 1}, {"id": 2}, {"id": 7}])
        assert message(caught).splitlines() == [
            "rows of node are not as expected: 3 expected, 3 there (- missing, + unexpected)",
            "  - id=7",
            "  + id=3",
            "    id=1",
            "    id=2",
        ]

    def test_no_rows_can_be_expected(self, data):
        data.assert_rows("node", [], where={"id": 99})
        with pytest.raises(AssertionError, match="0 expected, 3 there"):
            data.assert_rows("node", [])

    def test_equal_rows_count(self, data):
        data.insert("log", [{"text": "a"}, {"text": "a"}])
        data.assert_rows("log", [{"text": "a"}, {"text": "a"}])
        with pytest.raises(AssertionError):
            data.assert_rows("log", [{"text": "a"}])

    def test_a_count_may_be_of_some(self, data):
        data.assert_count("node", 2, where={"parent_id": 1})
        with pytest.raises(AssertionError, match="5 rows of node where parent_id is 1 expected, 2"):
            data.assert_count("node", 5, where={"parent_id": 1})

    def test_an_unknown_column_names_the_nearest(self, data):
        for ask in (
            lambda: data.assert_rows("node", [{"parent": 1}]),
            lambda: data.assert_rows("node", [], order_by="parent"),
            lambda: data.assert_count("node", 1, where={"parent": 1}),
            lambda: data.rows("node", columns=["parent"]),
        ):
            with pytest.raises(DataInvalid, match="perhaps 'parent_id' was meant"):
                ask()


def test_values_are_compared_in_the_form_they_come_back_in(data):
    row = {"id": 1, "jb": {"a": 1}, "r": (1, 5), "moods": ["fine"], "d": dt.date(2024, 1, 1)}
    data.insert("value", row)

    data.assert_rows("value", [row])
    data.assert_count("value", 1, where={"jb": {"a": 1}, "r": (1, 5), "j": None})


def test_json_can_be_asked_for_by_value(data):
    data.insert("value", {"id": 1, "j": {"a": 1, "b": 2}})

    data.assert_count("value", 1, where={"j": {"b": 2, "a": 1}})


def test_a_message_stays_short(data):
    data.insert("node", [{"id": number} for number in range(100)])
    with pytest.raises(AssertionError) as caught:
        data.assert_rows("node", [])

    assert len(message(caught).splitlines()) == 22
    assert "… 80 more" in message(caught)


def test_more_rows_than_are_read_are_counted(data):
    data.insert("node", [{"id": number} for number in range(1200)])
    with pytest.raises(AssertionError, match="1 expected, 1200 there"):
        data.assert_rows("node", [{"id": 1}])


def test_a_difference_reads_like_a_patch(data, database):
    data.insert("node", [{"id": 1}, {"id": 2}, {"id": 3}])
    before = data.snapshot("node", "log")
    with database.connect() as connection:
        connection.execute("DELETE FROM node WHERE id = 1")
        connection.execute("UPDATE node SET parent_id = 3 WHERE id = 2")
        connection.execute("INSERT INTO node VALUES (4)")
        connection.execute("INSERT INTO log VALUES (NULL, 'x')")
    found = data.diff(before)

    assert str(found) == (
        "node\n"
        "  - id=1 parent_id=NULL\n"
        "  + id=4 parent_id=NULL\n"
        "  ~ id=2  parent_id: NULL → 3\n"
        "log\n"
        "  + at=NULL text='x'"
    )
    assert found["node"].changed[0].key == {"id": 2}
    assert json.loads(json.dumps(found.to_json()))[0]["count"] == [3, 3]


def test_nothing_changed_is_false(data):
    data.insert("node", {"id": 1})
    before = data.snapshot()

    assert not data.diff(before)
    assert not data.diff(before, data.snapshot())
    assert str(data.diff(before)) == "no difference"
    assert before.counts["public.node"] == 1


def test_an_update_put_back_is_no_difference(data, database):
    data.insert("node", {"id": 1})
    with data.assert_unchanged("node"), database.connect() as connection:
        connection.execute("DELETE FROM node")
        connection.execute("INSERT INTO node VALUES (1)")


def test_a_change_that_should_not_be_is_shown(data):
    with (
        pytest.raises(AssertionError, match=r"\+ id=1 parent_id=NULL"),
        data.assert_unchanged("node"),
    ):
        data.insert("node", {"id": 1})


def test_without_names_every_table_is_watched(data):
    with pytest.raises(AssertionError, match=r"public\.node"), data.assert_unchanged():
        data.insert("node", {"id": 1})


def test_a_large_table_is_kept_as_a_digest_and_a_change_is_still_seen(data, database):
    data.insert("node", [{"id": number} for number in range(50)])
    before = data.snapshot("node", limit=10)
    assert before.tables["node"].rows is None
    assert not data.diff(before)

    with database.connect() as connection:
        connection.execute("UPDATE node SET parent_id = 1 WHERE id = 7")
    found = data.diff(before)

    assert found["node"].unlisted
    assert "50 rows → 50 rows" in str(found)


def test_a_table_that_grew_large_is_told_by_its_number(data):
    before = data.snapshot("node")
    data.insert("node", [{"id": number} for number in range(1100)])

    assert "0 rows → 1100 rows" in str(data.diff(before))


def test_a_long_patch_is_cut(data):
    before = data.snapshot("node")
    data.insert("node", [{"id": number} for number in range(100)])

    assert len(str(data.diff(before)).splitlines()) == 42
