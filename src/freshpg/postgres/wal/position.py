"""Positions in the write-ahead log, and the files and pages they fall into. Pure.

Source: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xlog_internal.h
"""

from __future__ import annotations

from typing import Final

PAGE_BYTES: Final = 8192
"""XLOG_BLCKSZ of every usual build; WAL of another one fails the check of its second page."""

SHORT_HEADER_BYTES: Final = 24
LONG_HEADER_BYTES: Final = 40


def parse_lsn(text: str) -> int:
    """Return a position from PostgreSQL's text (``0/16B3748``).

    Raises:
        ValueError: The text is not a position.
    """
    high, _, low = text.partition("/")
    try:
        return (int(high, 16) << 32) | int(low, 16)
    except ValueError:
        raise ValueError(f"not a position in WAL: {text!r}") from None


def format_lsn(position: int) -> str:
    """Return a position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def segment_name(position: int, segment_size: int, timeline: int) -> str:
    """Return the name of the file in ``pg_wal`` that holds a position."""
    number = position // segment_size
    per_log = 0x1_0000_0000 // segment_size
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def header_bytes(page: int, segment_size: int) -> int:
    """Return the size of the header of the page at a position: the first page of a segment has the long one."""
    return SHORT_HEADER_BYTES if page % segment_size else LONG_HEADER_BYTES


def before_header(position: int, segment_size: int) -> int:
    """Return the position where a page begins for one right behind its header, any other one as it is.

    Between two records both mean the same place: PostgreSQL gives the first as the end of a record, the second as
    the place of the next.
    """
    inside = position % PAGE_BYTES
    if inside and inside == header_bytes(position - inside, segment_size):
        return position - inside
    return position
