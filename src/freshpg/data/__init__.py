"""Test data: set up rows, verify them, remove them; the fixture ``pg_data`` and :class:`TestData`."""

from freshpg.data.snapshots import Change, Diff, Snapshot, TableDiff
from freshpg.data.testdata import TestData

__all__ = ["Change", "Diff", "Snapshot", "TableDiff", "TestData"]
