"""Rows that foreign keys require are made when asked, and no others."""

import psycopg
import pytest

from freshpg.errors import DataInvalid, ParentsImpossible


def test_a_chain_of_required_parents_is_made(data):
    row = data.insert("cart", {"note": "mine"}, with_parents=True)

    (customer,) = data.rows("customer")
    assert row["customer_id"] == customer["id"]
    assert customer["email"].startswith("email_")
    assert customer["mood"] == "fine"
    assert data.count("country") == 3
    assert data.count("country", where={"code": customer["country"]}) == 1


def test_without_being_asked_nothing_is_made(data):
    with pytest.raises(psycopg.errors.NotNullViolation):
        data.insert("cart", {"note": "mine"})

    data.assert_count("customer", 0)


def test_rows_of_one_call_share_their_parents(data):
    first, second = data.insert("cart", [{}, {}], with_parents=True)
    third = data.insert("cart", {}, with_parents=True)

    assert first["customer_id"] == second["customer_id"] != third["customer_id"]


def test_a_unique_foreign_key_gets_a_parent_for_each_row(data):
    rows = data.insert("profile", [{"bio": "a"}, {"bio": "b"}], with_parents=True)

    assert len({row["customer_id"] for row in rows}) == 2


def test_two_keys_to_one_table_get_two_rows(data):
    row = data.insert("transfer", {}, with_parents=True)

    assert row["sender"] != row["receiver"]


def test_keys_that_overlap_agree(data):
    row = data.insert("task", {}, with_parents=True)

    data.assert_rows("project", [{"tenant_id": row["tenant_id"], "id": row["project_id"]}])
    data.assert_count("tenant", 1)


def test_a_given_key_that_exists_is_left_alone(data):
    data.insert("tenant", {"id": 5, "name": "five"})
    row = data.insert("task", {"tenant_id": 5}, with_parents=True)

    assert row["tenant_id"] == 5
    data.assert_rows("tenant", [{"id": 5, "name": "five"}])


def test_a_given_key_that_is_missing_is_made(data):
    data.insert("task", {"tenant_id": 5, "project_id": 6}, with_parents=True)

    data.assert_rows("project", [{"tenant_id": 5, "id": 6}])
    data.assert_rows("tenant", [{"id": 5}])


def test_a_key_that_may_be_null_is_left_null(data):
    assert data.insert("node", {"id": 1}, with_parents=True)["parent_id"] is None
    assert data.insert("node", {"id": 2, "parent_id": None}, with_parents=True)["id"] == 2


def test_one_may_say_what_a_parent_holds(data):
    data.insert(
        "cart",
        {},
        with_parents={"customer": {"email": "ada@example.org", "country": "ch"}},
    )

    data.assert_rows("customer", [{"email": "ada@example.org", "country": "ch"}])
    data.assert_count("country", 2)


def test_a_misspelt_wish_names_the_nearest_column(data):
    with pytest.raises(DataInvalid, match="email"):
        data.insert("cart", {}, with_parents={"customer": {"emial": "x"}})


def test_made_up_keys_step_aside_for_rows_that_are_there(data):
    data.insert("tenant", [{"id": number, "name": "x"} for number in (1, 2, 900)])
    row = data.insert("task", {}, with_parents=True)

    assert row["tenant_id"] == 901


@pytest.mark.parametrize(
    "table, seen",
    [
        ("egg", "each requires the next: egg → chicken → egg"),
        ("chicken", "each requires the next: chicken → egg → chicken"),
        ("strict_node", "each requires the next: strict_node → strict_node"),
    ],
)
def test_a_cycle_is_refused_with_its_tables_and_nothing_is_inserted(data, table, seen):
    with pytest.raises(ParentsImpossible) as caught:
        data.insert(table, {"id": 1}, with_parents=True)

    assert seen in str(caught.value)
    data.assert_count("egg", 0)
    data.assert_count("chicken", 0)


def test_a_cycle_may_be_entered_with_a_key(data):
    data.insert("strict_node", {"id": 1, "parent_id": 1})

    assert data.insert("strict_node", {"id": 2, "parent_id": 1}, with_parents=True)["id"] == 2


def test_a_check_that_made_up_values_break_says_how_to_give_others(data):
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        data.insert("licence", {}, with_parents=True)
    assert any('with_parents={"adult": {…}}' in note for note in caught.value.__notes__)

    assert data.insert("licence", {}, with_parents={"adult": {"age": 30}})["adult_id"] == 1


def test_a_type_nothing_is_known_about_says_how_to_give_a_value(data):
    with pytest.raises(ParentsImpossible, match="regclass") as caught:
        data.insert("odd_child", {}, with_parents=True)
    assert caught.value.column == "what"

    data.insert("odd_child", {}, with_parents={"odd": {"what": "odd"}})
    data.assert_count("odd", 1)
