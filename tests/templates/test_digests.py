import os
import time

from freshpg.templates import digests
from freshpg.templates.digests import digest, file_digest


def test_where_a_part_ends_matters():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("ab") == digest(b"ab")


def test_contents_count_and_times_do_not(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    os.utime(two, (1, 1))
    assert file_digest(one) == file_digest(two)


def test_an_edit_within_the_same_tick_and_of_the_same_size_is_seen(tmp_path):
    path = tmp_path / "a.sql"
    path.write_bytes(b"SELECT 1")
    stamp = path.stat().st_mtime_ns
    before = file_digest(path)
    path.write_bytes(b"SELECT 2")
    os.utime(path, ns=(stamp, stamp))
    assert file_digest(path) != before


def test_a_settled_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a.sql"
    path.write_bytes(b"SELECT 1")
    later = time.time_ns() + 5_000_000_000
    monkeypatch.setattr(digests, "_time_ns", lambda: later)
    before = file_digest(path)
    monkeypatch.setattr(digests, "_hash", None)
    assert file_digest(path) == before


def test_size_does_not_change_how_contents_are_digested(tmp_path, monkeypatch):
    path = tmp_path / "a.sql"
    path.write_bytes(b"SELECT 1" * 1000)
    small = file_digest(path)
    monkeypatch.setattr(digests, "_SMALL", 10)
    assert file_digest(path) == small


def test_an_edit_of_a_settled_file_is_seen(tmp_path, monkeypatch):
    path = tmp_path / "a.sql"
    path.write_bytes(b"SELECT 1")
    later = time.time_ns() + 5_000_000_000
    monkeypatch.setattr(digests, "_time_ns", lambda: later)
    before = file_digest(path)
    path.write_bytes(b"SELECT 22")
    assert file_digest(path) != before


def test_a_hundred_files_cost_no_more_than_reading_them(tmp_path):
    paths = [tmp_path / f"{number}.sql" for number in range(100)]
    for path in paths:
        path.write_bytes(b"x" * 2000)
    started = time.process_time()
    for path in paths:
        path.read_bytes()
    bare = time.process_time() - started
    started = time.process_time()
    for path in paths:
        file_digest(path)
    assert time.process_time() - started < 10 * bare + 0.005
