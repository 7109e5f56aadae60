"""WAL across pages and segments, and segments that are gone."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from postgres_server import running_server

from freshpg.postgres.admin import Admin
from freshpg.postgres.wal.position import parse_lsn
from freshpg.postgres.wal.source import LocalWal, flush_statement
from freshpg.postgres.wal.touched import read_touched

MEGABYTE = 2**20


def fill(ledger, leaving):
    """Write messages until so many bytes of the segment are left; messages are harmless records."""
    here = parse_lsn(ledger.admin.value("SELECT pg_current_wal_insert_lsn()"))
    left = ledger.segment_size - here % ledger.segment_size
    # A page takes 24 bytes of each 8 KiB for its header, a message 57 of its own.
    payload = (left - leaving) * (8192 - 24) // 8192 - 100
    if payload > 0:
        ledger.admin.execute(
            "SELECT pg_logical_emit_message(false, 'fill', repeat('x', %s))", [payload]
        )
    return ledger.segment_size - (here + payload) % ledger.segment_size


@pytest.mark.parametrize("leaving", [200, 1500, 9000])
def test_records_across_a_boundary_of_segments_are_read(ledger, leaving):
    fill(ledger, leaving)

    def write():
        for number in range(10, 90):
            ledger.admin.execute(
                "INSERT INTO notes (id, word) VALUES (%s, repeat(md5('a'), 20))", [number]
            )

    start, end = ledger.around(write)
    assert start // ledger.segment_size != end // ledger.segment_size
    touched = ledger.read(start, end)
    assert touched == ledger.read(start, end, ledger.remote)
    files = ledger.files()
    assert {files[number] for number in touched.relations} == {"notes"}
    assert ledger.rows_of("notes WHERE id >= 10") <= touched.commits


def test_every_position_between_records_is_a_start(ledger):
    positions = [ledger.now()]
    for number in range(100, 160):
        ledger.admin.execute(
            "INSERT INTO notes (id, word) VALUES (%s, repeat('y', %s))", [number, number * 3]
        )
        positions.append(ledger.now())
    whole = ledger.read(positions[0], positions[-1]).commits
    parts = [ledger.read(a, b) for a, b in pairwise(positions)]
    assert all(len(part.relations) == 1 for part in parts)
    assert frozenset().union(*(part.commits for part in parts)) == whole


def test_a_row_after_a_switch_of_segments_is_read(ledger):
    def switch():
        ledger.admin.execute("SELECT pg_switch_wal()")
        ledger.admin.execute("UPDATE notes SET word = 'after'")

    assert ledger.during(switch).relations == {"notes"}


def test_a_range_may_begin_and_end_where_a_segment_does(ledger):
    ledger.admin.execute("SELECT pg_switch_wal()")
    start = parse_lsn(ledger.admin.value("SELECT pg_current_wal_insert_lsn()"))
    assert start % ledger.segment_size == 40
    ledger.admin.execute("UPDATE notes SET word = 'after'")
    for begin in (start, start - 40):
        assert len(ledger.read(begin, ledger.now()).relations) == 1
    ledger.admin.execute("SELECT pg_switch_wal()")
    end = parse_lsn(ledger.admin.value("SELECT pg_current_wal_insert_lsn()"))
    assert len(ledger.read(start, end).relations) == 1
    assert ledger.read(end - 40, end).size == 40


def test_nothing_between_two_equal_positions(ledger):
    here = ledger.now()
    touched = ledger.read(here, here)
    assert not touched.relations
    assert touched.size == 0


def test_wal_that_was_not_written_yet_is_none(ledger):
    here = ledger.now()
    assert ledger.read(here, here + 4096) is None
    assert ledger.read(here, here + 3 * ledger.segment_size) is None
    assert ledger.read(here, here - 8) is None


def test_a_segment_that_was_removed_is_none(ledger, admin):
    start, end = ledger.around(lambda: ledger.admin.execute("UPDATE notes SET word = 'x'"))
    whole = ledger.read(start, end)
    name = admin.value(
        "SELECT pg_walfile_name(%s::pg_lsn)", [f"{start >> 32:X}/{start & 0xFFFFFFFF:X}"]
    )
    for _ in range(3):
        admin.execute("SELECT pg_switch_wal()")
        admin.execute("CHECKPOINT")
    assert not (ledger.data_directory / "pg_wal" / name).exists()
    with_a_new_look = ledger.open()
    assert ledger.read(start, end, with_a_new_look) is None
    assert ledger.read(start, end, ledger.remote) is None
    # The descriptor that was open has either what was there or what a later segment wrote over it.
    assert ledger.read(start, end) in {None, whole}


def test_a_segment_that_was_written_over_is_none(ledger, tmp_path):
    """The server renames an old segment to a name of the future: its pages have old addresses."""
    start, end = ledger.around(lambda: ledger.admin.execute("UPDATE notes SET word = 'x'"))
    name = ledger.admin.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    (tmp_path / "pg_wal").mkdir()
    old = (ledger.data_directory / "pg_wal" / name).read_bytes()
    future = name[:-1] + f"{(int(name[-1], 16) + 1) % 16:X}"
    (tmp_path / "pg_wal" / future).write_bytes(old)
    (tmp_path / "pg_wal" / name).write_bytes(old)
    there = LocalWal(tmp_path, ledger.segment_size)
    assert ledger.read(start, end, there) == ledger.read(start, end)
    size = ledger.segment_size
    assert ledger.read(start + size, end + size, there) is None
    there.close()


def test_a_file_that_was_removed_while_open_is_not_believed(ledger, tmp_path):
    start, end = ledger.around(lambda: ledger.admin.execute("UPDATE notes SET word = 'x'"))
    name = ledger.admin.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    (tmp_path / "pg_wal").mkdir()
    copy = tmp_path / "pg_wal" / name
    copy.write_bytes((ledger.data_directory / "pg_wal" / name).read_bytes())
    there = LocalWal(tmp_path, ledger.segment_size)
    assert ledger.read(start, end, there) is not None
    copy.unlink()
    assert ledger.read(start, end, there) is None
    there.close()
    there.close()


def test_a_half_written_file_is_none(ledger, tmp_path):
    start, end = ledger.around(lambda: ledger.admin.execute("UPDATE notes SET word = 'x'"))
    name = ledger.admin.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    (tmp_path / "pg_wal").mkdir()
    content = (ledger.data_directory / "pg_wal" / name).read_bytes()
    (tmp_path / "pg_wal" / name).write_bytes(content[: end % ledger.segment_size - 1])
    with closing(LocalWal(tmp_path, ledger.segment_size)) as wal:
        assert ledger.read(start, end, wal) is None


@pytest.mark.slow
def test_segments_of_one_megabyte_are_read():
    with running_server("--wal-segsize=1") as conninfo, Admin.connect(conninfo) as admin:
        admin.execute("SET synchronous_commit = on")
        admin.execute("CREATE TABLE notes (id int, word text)")
        wal = LocalWal(Path(admin.value("SHOW data_directory")), MEGABYTE)
        database = admin.value("SELECT oid FROM pg_database WHERE datname = 'postgres'")
        flush = f"SELECT {flush_statement(admin.server_version)}"
        start = parse_lsn(admin.value(flush))
        admin.execute(
            "INSERT INTO notes SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 9000) i"
        )
        end = parse_lsn(admin.value(flush))
        assert end - start > 3 * MEGABYTE
        touched = read_touched(wal, start, end, database)
        file = admin.value("SELECT pg_relation_filenode('notes')")
        assert touched.relations == {file}
        # A wrong size of segments is noticed.
        assert (
            read_touched(
                LocalWal(Path(admin.value("SHOW data_directory")), 16 * MEGABYTE),
                start,
                end,
                database,
            )
            is None
        )
        wal.close()
