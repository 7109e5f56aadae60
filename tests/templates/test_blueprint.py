import pickle

import pytest

from freshpg.core.errors import BlueprintInvalid, NameInvalid
from freshpg.templates.blueprint import Blueprint, check_blueprints


def blueprint(name="main", database="shop_test", migrations=("a.sql",), **more):
    return Blueprint(name, database, migrations, **more)


def test_lists_become_tuples_and_the_root_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = blueprint(migrations=["a.sql"], seed=[print], root="db")
    assert (made.migrations, made.seed, made.root) == (("a.sql",), (print,), tmp_path / "db")


def test_it_cannot_be_changed_and_travels_between_processes():
    made = blueprint()
    with pytest.raises(AttributeError):
        made.name = "other"
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"migrations": "a.sql"}, "give a list"),
        ({"migrations": ["a.sql", ""]}, "migrations holds ''"),
        ({"migrations": ["a\0.sql"]}, "migrations holds"),
        ({"migrations": [3]}, "migrations holds 3"),
        ({"extensions": [print]}, "extensions holds"),
        ({"seed": [None]}, "seed holds None"),
        ({"name": " "}, "its name is empty"),
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": float("nan")}, "deadline is nan"),
    ],
)
def test_what_contradicts_itself_is_refused(wrong, said):
    with pytest.raises(BlueprintInvalid, match=said):
        blueprint(**wrong)


@pytest.mark.parametrize("name", ["", "postgres", "x" * 60, "a\0b"])
def test_an_impossible_database_name_is_refused(name):
    with pytest.raises(NameInvalid):
        blueprint(database=name)


@pytest.mark.parametrize(
    "second",
    [
        blueprint("main", "mall_test"),
        blueprint("two", "shop_test"),
        blueprint("two", "shop_test_2"),
        blueprint("two", "shop_test_readonly"),
        blueprint("two", "shop_test_template_0f"),
    ],
)
def test_two_blueprints_that_would_share_a_database_are_refused(second):
    with pytest.raises(BlueprintInvalid, match="main"):
        check_blueprints([blueprint(), second])
    with pytest.raises(BlueprintInvalid, match="main"):
        check_blueprints([second, blueprint()])


def test_blueprints_with_names_of_their_own_go_together():
    check_blueprints([blueprint(), blueprint("two", "shop_test_two"), blueprint("three", "shop")])
