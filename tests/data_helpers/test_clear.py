"""What was inserted can be removed again, and nothing else is."""

import pytest

from freshpg.errors import DataInUse


def test_all_that_was_inserted_goes_parents_included(data):
    data.insert("line", {"cart_id": 1, "position": 1, "sku": "x", "amount": 1}, with_parents=True)
    gone = data.clear()

    assert gone == {
        "public.country": 1,
        "public.customer": 1,
        "public.cart": 1,
        "public.line": 1,
    }
    data.assert_count("country", 2)


def test_what_something_else_inserted_stays(data, database):
    data.insert("node", {"id": 1})
    with database.connect() as connection:
        connection.execute("INSERT INTO node VALUES (2)")

    assert data.clear() == {"public.node": 1}
    data.assert_rows("node", [{"id": 2}])


def test_rows_that_refer_to_each_other_go_together(data, database):
    with database.connect() as connection:
        inside = data.on(connection)
        inside.insert("chicken", {"id": 1, "egg_id": 1})
        inside.insert("egg", {"id": 1, "chicken_id": 1})
        connection.commit()
        assert inside.clear() == {"public.chicken": 1, "public.egg": 1}
        connection.commit()

    data.assert_count("egg", 0)


def test_rows_without_a_key_are_found_by_their_place(data, database):
    with database.connect() as connection:
        connection.execute("INSERT INTO log (text) VALUES ('theirs')")
    data.insert("log", [{"text": "a"}, {"text": "a"}])

    assert data.clear() == {"public.log": 2}
    data.assert_rows("log", [{"text": "theirs"}])


def test_keys_of_every_type_are_found_again(data):
    data.insert("measured", {"day": "2020-05-01", "v": 1})
    data.insert('"Odd Names"."A ""Table"""', {"the id": 1})

    assert list(data.clear().values()) == [1, 1]


def test_rows_already_gone_are_no_error_and_a_second_time_is_fine(data, database):
    data.insert("node", [{"id": 1}, {"id": 2}])
    with database.connect() as connection:
        connection.execute("DELETE FROM node WHERE id = 1")

    assert data.clear() == {"public.node": 1}
    assert data.clear() == {}


def test_rows_that_others_refer_to_stay_and_the_error_says_who_refers(data, database):
    data.insert("node", [{"id": 1}, {"id": 2}])
    with database.connect() as connection:
        connection.execute("INSERT INTO node VALUES (3, 1)")

    with pytest.raises(DataInUse, match="node_parent_id_fkey"):
        data.clear()
    data.assert_count("node", 3)
