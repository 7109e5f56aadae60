import json
import pickle

import pytest

from freshpg.isolation.residue import (
    ObjectResidue,
    Residue,
    SequenceResidue,
    SessionResidue,
    TableResidue,
)

EVERYTHING = Residue(
    "shop_test",
    audited=True,
    how="wal",
    tables=(TableResidue("public.cart", 3), TableResidue("public.customer", 1, 2, 4)),
    sequences=(SequenceResidue("public.cart_id_seq", None, 3),),
    objects=tuple(ObjectResidue("table", f"public.debris_{n}", "created") for n in range(6)),
    sessions=(SessionResidue(7, "app", "idle in transaction", 1.25, "INSERT", 2, "test_x.py:3"),),
    prepared=("left",),
    doubt="the WAL is gone",
)


@pytest.mark.parametrize(
    "replaced, audited, left", [(True, False, True), (False, False, True), (False, True, False)]
)
def test_a_residue_is_falsy_only_when_equality_was_proven(replaced, audited, left):
    assert bool(Residue("shop_test", replaced=replaced, audited=audited)) is left


@pytest.mark.parametrize(
    "part", ["tables", "sequences", "objects", "sessions", "prepared", "doubt"]
)
def test_anything_left_makes_it_truthy(part):
    assert Residue("shop_test", audited=True, **{part: getattr(EVERYTHING, part)})


def test_it_says_on_a_line_each_what_was_left():
    assert str(EVERYTHING).splitlines() == [
        "shop_test: not as its template",
        "  rows: public.cart +3; public.customer +1 ~2 -4",
        "  sequences: public.cart_id_seq 3 (was unused)",
        (
            "  schema: created table public.debris_0; created table public.debris_1;"
            " created table public.debris_2; created table public.debris_3; and 2 more"
        ),
        (
            "  sessions: pid 7 'app' idle in transaction for 1.2 s, 2 advisory locks,"
            " opened at test_x.py:3: INSERT; prepared 'left'"
        ),
        "  in doubt: the WAL is gone",
    ]


@pytest.mark.parametrize(
    "residue, text",
    [
        (Residue("t", audited=True), "t: identical to its template"),
        (Residue("t"), "t: not compared with its template"),
        (
            Residue("t", replaced=True),
            "t: replaced by a fresh clone; what was left in it was not looked at",
        ),
    ],
)
def test_without_anything_to_list_it_is_one_line(residue, text):
    assert str(residue) == text


def test_it_is_plain_data_and_pickles():
    data = json.loads(json.dumps(EVERYTHING.to_json()))
    assert data["tables"][1] == {
        "table": "public.customer",
        "inserted": 1,
        "changed": 2,
        "deleted": 4,
    }
    assert pickle.loads(pickle.dumps(EVERYTHING)) == EVERYTHING


def test_a_session_seen_twice_is_listed_once():
    again = EVERYTHING.with_sessions(EVERYTHING.sessions, ("left", "more"))
    assert again.sessions == EVERYTHING.sessions
    assert again.prepared == ("left", "more")
