"""Whatever the bytes are, the answer is None or what was touched, and never an error."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshpg.postgres.wal.touched import Touched, read_touched

PAGE = 8192


class Bytes:
    """WAL that is made up."""

    def __init__(self, data, start, segment_size):
        self.data = data
        self.base = start - start % PAGE
        self.segment_size = segment_size

    def read(self, start, end):
        return self.data[start - start % PAGE - self.base : end - self.base]

    def close(self):
        pass


@pytest.fixture(scope="module")
def genuine(only_ledger):
    """Position, end and bytes of three pages of real WAL, and the database they are of."""
    ledger = only_ledger
    ledger.admin.execute(
        "DROP TABLE IF EXISTS genuine; CREATE TABLE genuine (id int PRIMARY KEY, word text)"
    )

    def write():
        ledger.admin.execute(
            "INSERT INTO genuine SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 40) i"
        )
        ledger.admin.execute(
            "BEGIN; CREATE TABLE passing (id serial); SAVEPOINT a; DROP TABLE passing; COMMIT"
        )

    start, end = ledger.around(write)
    data = ledger.local.read(start, end)
    assert end // PAGE - start // PAGE >= 2
    return start, end, data, ledger.segment_size, ledger.database


def parse(genuine, data):
    start, end, _, segment_size, database = genuine
    return read_touched(Bytes(data, start, segment_size), start, end, database)


QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def test_the_genuine_bytes_are_read(genuine):
    assert parse(genuine, genuine[2]).relations


@QUICK
@given(data=st.data())
def test_flipped_bits_never_raise(genuine, data):
    content = bytearray(genuine[2])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    assert isinstance(parse(genuine, bytes(content)), Touched | None)


@QUICK
@given(length=st.integers(0, 30_000))
def test_truncated_bytes_are_none(genuine, length):
    content = genuine[2]
    cut = content[: length % len(content)]
    assert parse(genuine, cut) is None
    assert parse(genuine, cut + bytes(len(content) - len(cut))) is None or not content[
        len(cut) :
    ].strip(b"\0")


@QUICK
@given(content=st.binary(max_size=200), start=st.integers(0, 2**40), length=st.integers(0, 40_000))
def test_random_bytes_are_none(content, start, length):
    source = Bytes(content * (1 + (length + PAGE) // max(1, len(content))), start, 2**20)
    answer = read_touched(source, start, start + length, 5)
    assert answer is None or answer == Touched(
        frozenset(), frozenset(), frozenset(), frozenset(), "", length
    )


@QUICK
@given(data=st.data())
def test_garbage_behind_a_good_page_header_never_raises(genuine, data):
    content = bytearray(genuine[2])
    at = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=300))[: len(content) - at]
    content[at : at + len(garbage)] = garbage
    assert isinstance(parse(genuine, bytes(content)), Touched | None)


@pytest.mark.parametrize(
    "offset, value",
    [(0, 0xAA), (2, 0x09), (8, 0xFF)],
    ids=["another version", "a record whose beginning was lost", "another address"],
)
@pytest.mark.parametrize("page", [0, 1, 2])
def test_every_page_has_to_be_the_right_one(genuine, page, offset, value):
    content = bytearray(genuine[2])
    content[page * PAGE + offset] = value
    assert parse(genuine, bytes(content)) is None


def first_record(genuine):
    start = genuine[0]
    return start % PAGE or 24


@pytest.mark.parametrize("field", [0, 8], ids=["length", "position of the record before"])
def test_a_broken_chain_is_none(genuine, field):
    content = bytearray(genuine[2])
    at = first_record(genuine)
    at += (int.from_bytes(content[at : at + 4], "little") + 7) & ~7
    content[at + field] ^= 0x10
    assert parse(genuine, bytes(content)) is None


@pytest.mark.parametrize("manager", [22, 127, 128, 200])
def test_records_of_extensions_are_said_to_be_unknown(genuine, manager):
    content = bytearray(genuine[2])
    content[first_record(genuine) + 17] = manager
    assert "unknown" in parse(genuine, bytes(content)).structural


def test_a_range_that_begins_inside_a_record_is_none(genuine):
    start, end, data, segment_size, database = genuine
    for inside in (start + 8, start + 16):
        assert read_touched(Bytes(data, start, segment_size), inside, end, database) is None
    assert read_touched(Bytes(data, start, segment_size), start, end - 8, database) is None
