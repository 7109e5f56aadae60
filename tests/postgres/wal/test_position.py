import pytest

from freshpg.postgres.wal.position import before_header, format_lsn, parse_lsn, segment_name
from freshpg.postgres.wal.source import flush_statement

MEGABYTE = 2**20


@pytest.mark.parametrize(
    "text, position",
    [("0/16B3748", 0x16B3748), ("1A/0", 0x1A << 32), ("FFFFFFFF/FFFFFFFF", 2**64 - 1)],
)
def test_positions_are_written_as_postgresql_does(text, position):
    assert parse_lsn(text) == position
    assert format_lsn(position) == text


@pytest.mark.parametrize("text", ["", "16B3748", "x/y", "/"])
def test_what_is_no_position_is_refused(text):
    with pytest.raises(ValueError, match="not a position in WAL"):
        parse_lsn(text)


@pytest.mark.parametrize("position", ["0/16B3748", "1/23456789", "AB/FFFFFFFF"])
def test_segments_are_named_as_postgresql_does(admin, position):
    named = admin.value("SELECT pg_walfile_name(%s::pg_lsn)", [position])
    assert segment_name(parse_lsn(position), 16 * MEGABYTE, 1) == named


def test_names_of_segments_depend_on_their_size_and_the_timeline():
    # https://www.postgresql.org/docs/current/wal-internals.html
    assert segment_name(0x1_0050_0000, MEGABYTE, 1) == "000000010000000100000005"
    assert segment_name(0x1_0050_0000, 16 * MEGABYTE, 2) == "000000020000000100000000"


def test_a_place_behind_a_page_header_is_the_beginning_of_the_page():
    assert before_header(8192 + 24, MEGABYTE) == 8192
    assert before_header(MEGABYTE + 40, MEGABYTE) == MEGABYTE
    assert before_header(MEGABYTE + 24, MEGABYTE) == MEGABYTE + 24
    assert before_header(8192 + 40, MEGABYTE) == 8192 + 40
    assert before_header(8192, MEGABYTE) == 8192


def test_older_servers_flush_by_a_commit():
    assert "true, 'freshpg'" in flush_statement(160000)
    assert "'', true" in flush_statement(170000)
