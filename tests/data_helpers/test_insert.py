"""Rows go in, whatever their columns hold, and come back as they are in the table."""

import datetime as dt
import decimal
import enum
import ipaddress
import uuid

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from freshpg.data import TestData
from freshpg.errors import DataInvalid, TableUnknown


def test_a_row_comes_back_with_its_key_and_defaults(data, fetch):
    row = data.insert("customer", {"email": "ada@example.org", "country": "at", "mood": "fine"})

    assert row == {"id": 1, "email": "ada@example.org", "country": "at", "mood": "fine", "tags": []}
    assert fetch("SELECT id, email FROM customer") == [(1, "ada@example.org")]


def test_rows_may_differ_in_their_columns(data):
    rows = data.insert("log", [{"text": "a"}, {"at": None}, {}])

    assert [row["text"] for row in rows] == ["a", None, None]
    assert [row["at"] is None for row in rows] == [False, True, False]


def test_a_row_of_defaults_needs_no_values(data):
    assert data.insert("log")["text"] is None
    assert len(data.insert("log", [{}, {}])) == 2
    assert data.insert("log", []) == []


def test_more_rows_than_one_statement_takes_keep_their_order(data):
    rows = data.insert("node", [{"id": number} for number in range(2500)])

    assert [row["id"] for row in rows] == list(range(2500))
    assert data.count("node") == 2500


class Mood(enum.Enum):
    GOOD = "fine"
    MEDIUM = "so so"


class Named(enum.Enum):
    fine = 1


MOMENT = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "column, value, expected",
    [
        ("j", {"a": [1, None]}, {"a": [1, None]}),
        ("jb", {"when": MOMENT, "who": uuid.UUID(int=1), "n": decimal.Decimal("1.5")},
         {"when": "2024-02-29T12:00:00+00:00", "who": str(uuid.UUID(int=1)), "n": "1.5"}),
        ("jb", "a string", "a string"),
        ("jb", [1, 2], [1, 2]),
        ("jb", Jsonb(None), None),
        ("jba", [{"a": 1}, "b"], [{"a": 1}, "b"]),
        ("ints", (1, 2), [1, 2]),
        ("ints", [], []),
        ("grid", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("moods", [Mood.GOOD, "so so"], ["fine", "so so"]),
        ("mood", Mood.MEDIUM, "so so"),
        ("mood", Named.fine, "fine"),
        ("r", (1, 5), Range(1, 5)),
        ("big", Range(1, None), Range(1, None)),
        ("big", (1, 2**40), Range(1, 2**40)),
        ("days", (dt.date(2024, 1, 1), None), Range(dt.date(2024, 1, 1), None)),
        ("r", Range(empty=True), Range(empty=True)),
        ("mr", [(1, 3), (7, 9)], [Range(1, 3), Range(7, 9)]),
        ("b", b"\x00\xff", b"\x00\xff"),
        ("d", dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
        ("d", "2024-02-29", dt.date(2024, 2, 29)),
        ("t", MOMENT, MOMENT),
        ("u", uuid.UUID(int=7), uuid.UUID(int=7)),
        ("n", decimal.Decimal("1e30"), decimal.Decimal("1e30")),
        ("i", dt.timedelta(days=1, hours=2), dt.timedelta(days=1, hours=2)),
        ("ip", ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.1")),
        ("bits", "101", "101"),
        ("ok", True, True),
        ("jb", None, None),
    ],
)  # fmt: skip
def test_every_kind_of_value_arrives(data, column, value, expected):
    row = data.insert("value", {"id": 1, column: value})
    found = list(row[column]) if column == "mr" else row[column]

    assert found == expected


@pytest.mark.parametrize("column", ["short", "fixed", "bits"])
def test_a_value_that_is_too_long_is_refused_not_cut(data, column):
    with pytest.raises(psycopg.DataError):
        data.insert("value", {"id": 1, column: "10101"})


def test_a_key_may_be_given_where_the_server_always_makes_one(data):
    row = data.insert("customer", {"id": 77, "email": "a", "country": "at", "mood": "fine"})

    assert row["id"] == 77


def test_names_mean_what_they_mean_in_sql(data):
    assert data.insert("audit.entry", {"id": 1}) == {"id": 1}
    assert data.insert("entry", {"id": 2}) == {"id": 2}
    row = data.insert('"Odd Names"."A ""Table"""', {"the id": 1, "%s": "50 %"})
    assert row == {"the id": 1, "%s": "50 %"}


def test_rows_of_a_partitioned_table_find_their_partition(data, fetch):
    data.insert("measured", {"day": "2020-05-01", "v": 1})

    assert fetch("SELECT count(*) FROM measured_2020") == [(1,)]


def test_an_unknown_table_names_the_nearest(data):
    with pytest.raises(TableUnknown, match="customer"):
        data.insert("custommer", {})


def test_an_unknown_column_names_the_nearest_and_nothing_is_inserted(data):
    with pytest.raises(DataInvalid, match="perhaps 'email' was meant") as caught:
        data.insert("customer", [{"email": "a", "country": "at", "mood": "fine"}, {"e_mail": "b"}])

    assert caught.value.column == "e_mail"
    assert data.count("customer") == 0


def test_a_refused_row_says_which_call_it_was_and_nothing_is_inserted(data):
    rows = [{"id": number} for number in range(1500)]
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        data.insert("node", [*rows, {"id": 3}])

    assert any("went into node" in note for note in caught.value.__notes__)
    assert data.count("node") == 0


def test_what_is_inserted_on_a_given_connection_is_its_users_to_commit(data, database, fetch):
    with database.connect() as connection:
        inside = data.on(connection)
        inside.insert("node", {"id": 1})
        inside.assert_count("node", 1)
        data.assert_count("node", 0)
        connection.rollback()

    assert fetch("SELECT count(*) FROM node") == [(0,)]


def test_a_given_connections_own_row_factory_does_no_harm(data, database):
    with database.connect(row_factory=psycopg.rows.dict_row) as connection:
        assert data.on(connection).insert("node", {"id": 1}) == {"id": 1, "parent_id": None}


def test_an_error_on_a_given_connection_leaves_its_transaction_usable(data, database):
    with database.connect() as connection:
        connection.execute("INSERT INTO node VALUES (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            data.on(connection).insert("node", {"id": 1})
        assert connection.execute("SELECT count(*) FROM node").fetchone() == (1,)


def test_a_column_that_the_test_added_is_seen(data, database):
    data.insert("node", {"id": 1})
    with database.connect() as connection:
        connection.execute("ALTER TABLE node ADD COLUMN label text")
    try:
        assert data.insert("node", {"id": 2, "label": "x"})["label"] == "x"
        data.assert_rows("node", [{"label": None}, {"label": "x"}])
    finally:
        with database.connect() as connection:
            connection.execute("ALTER TABLE node DROP COLUMN label")


def test_a_row_that_the_test_itself_holds_is_not_waited_for_for_ever(database):
    with TestData(database, deadline=0.02) as data, database.connect() as holder:
        holder.execute("INSERT INTO node VALUES (1)")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            data.insert("node", {"id": 1})
        assert any("pg_data.on(connection)" in note for note in caught.value.__notes__)
        holder.rollback()
        assert data.insert("node", {"id": 1})["id"] == 1
