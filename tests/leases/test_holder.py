import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshpg.leases.holder import HolderNote, from_query, to_comment

HOSTILE = st.text(st.sampled_from('*/\\"\n\0\x1b{}é\ud800;- a'), max_size=60) | st.text(max_size=60)


@given(HOSTILE, HOSTILE)
def test_no_name_ends_the_comment_or_opens_another_inside(test, worker):
    comment = to_comment(HolderNote(1, "host", worker=worker, test=test), 4096)
    assert comment.startswith(b"/*")
    assert comment.endswith(b"*/")
    assert b"/" not in comment[2:-1]
    assert all(32 <= byte < 127 for byte in comment)


@given(HOSTILE)
def test_what_is_written_is_read_again(test):
    note = HolderNote(7, "host", worker="gw0", test=test, since="2026-01-01T00:00:00+00:00")
    assert from_query("SELECT 1 " + to_comment(note, 4096).decode()) == note


@given(st.text(min_size=0, max_size=3000))
def test_a_long_test_name_is_cut_to_fit_and_stays_readable(test):
    comment = to_comment(HolderNote(7, "host", test=test), 1024)
    assert len(comment) < 1024
    found = from_query(comment.decode())
    assert found is not None
    assert found.test == test or test.startswith(found.test[:-1])


@pytest.mark.parametrize(
    "query",
    [
        None,
        "",
        "SELECT 1",
        "/*{}*/",
        "/*{cut",
        '/*{"freshpg":2,"pid":1}*/',
        '/*{"freshpg":1}*/',
        "/*{]}*/",
    ],
)
def test_other_statements_say_nothing_of_a_holder(query):
    assert from_query(query) is None


def test_a_holder_is_described_in_one_line():
    note = HolderNote(
        7,
        "box",
        worker="gw1",
        test="tests/test_cart.py::test_pay",
        since="2026-01-01T10:00:00+00:00",
    )
    assert (
        str(note)
        == "pid 7 on box, worker gw1, in tests/test_cart.py::test_pay, since 2026-01-01T10:00:00+00:00"
    )


@pytest.mark.parametrize("limit", [150, 151, 152, 200, 333])
def test_a_long_name_is_cut_no_more_than_it_must_be(limit):
    note = HolderNote(1, "here", test="t" * 500)
    comment = to_comment(note, limit)
    assert len(comment) == limit - 1
    shown = from_query(comment.decode()).test
    assert shown.endswith("…")
    assert set(shown[:-1]) == {"t"}


def test_a_name_that_just_fits_is_whole():
    note = HolderNote(1, "here", test="t" * 50)
    size = len(to_comment(note, 1000))
    assert from_query(to_comment(note, size + 1).decode()).test == note.test
    assert from_query(to_comment(note, size).decode()).test.endswith("…")


def test_where_nothing_of_it_fits_only_the_sign_stands():
    note = HolderNote(1, "here", test="t" * 50)
    assert from_query(to_comment(note, 10).decode()).test == "…"


def test_without_a_limit_it_fits_what_servers_show_by_default():
    assert len(to_comment(HolderNote(1, "here", test="t" * 2000))) == 1023


@pytest.mark.parametrize(
    "note, words",
    [
        (HolderNote(7, "here"), "pid 7 on here"),
        (HolderNote(7, "here", worker="gw1"), "pid 7 on here, worker gw1"),
        (HolderNote(7, "here", test="t"), "pid 7 on here, in t"),
        (HolderNote(7, "here", since="now"), "pid 7 on here, since now"),
    ],
)
def test_only_what_is_known_is_said(note, words):
    assert str(note) == words


def test_a_note_of_another_form_is_none():
    good = '{"freshpg":1,"pid":7,"host":"here"}'
    assert from_query(f"/*{good}*/") == HolderNote(7, "here")
    for bad in (good.replace("1", "2"), good.replace("7", '"7"'), "{}", '{"freshpg":1}', "[1]"):
        assert from_query(f"/*{bad}*/") is None
    assert from_query(None) is None
