import pytest

from freshpg.postgres.mark import Mark

MARK = Mark(
    "template",
    "main",
    "f" * 32,
    oid=16400,
    system="7",
    made="2026-01-01T00:00:00+00:00",
    facts={"steps": 2},
)


def test_a_mark_survives_being_a_comment():
    assert Mark.from_comment(MARK.to_comment()) == MARK


@pytest.mark.parametrize(
    "comment",
    [None, "", "my database", "[]", "{}", '{"freshpg": 99, "kind": "slot"}', '{"freshpg": 1, "kind": "other"}',
     '{"freshpg": 1}', '{"freshpg": 1, "kind": ["slot"]}', '{"freshpg": 1, "kind": "slot", "oid": "many"}',
     '{"freshpg": 1, "kind": "slot", "facts": 3}', "null", '{"freshpg": true, "kind": "slot"', "[" * 5000],
)  # fmt: skip
def test_whatever_else_stands_there_is_no_mark(comment):
    assert Mark.from_comment(comment) is None


def test_a_mark_proves_only_the_database_it_was_put_on():
    assert MARK.proves(16400, "7")
    assert not MARK.proves(16401, "7")
    assert not MARK.proves(16400, "8")
    assert MARK.tied_to(16401, "8").proves(16401, "8")


def test_the_form_of_a_mark_is_what_older_and_newer_versions_read():
    text = '{"freshpg":1,"kind":"slot","blueprint":"main","fingerprint":"","oid":0,"system":"","made":""}'
    assert Mark("slot", "main").to_comment() == text
    assert Mark.from_comment(text) == Mark("slot", "main")


def test_a_mark_without_an_oid_proves_nothing():
    mark = Mark.from_comment('{"freshpg":1,"kind":"slot","system":"7"}')
    assert (mark.oid, mark.system) == (0, "7")
    assert not mark.proves(1, "7")
