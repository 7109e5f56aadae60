"""Names that no other test and no other run has. Pure, but for the one question which run this is."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from functools import lru_cache


@lru_cache(maxsize=1)
def run_id() -> str:
    """Return what tells this run from others: the same in every worker of one run of xdist, and in forked children."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(8)


class UniqueNames:
    """Numbers names within one test.

    The same test asks for the same names in the same order, so within one run its names are always the same; another
    test, or another run, gets others.
    """

    def __init__(self, test: str, run: str = "") -> None:
        self._mark = hashlib.sha256(f"{run or run_id()}\0{test}".encode()).hexdigest()[:8]
        self._numbers: Counter[str] = Counter()

    def next(self, prefix: str) -> str:
        """Return ``prefix`` with eight characters for test and run, and a number from one."""
        self._numbers[prefix] += 1
        parts = (prefix, self._mark, str(self._numbers[prefix]))
        return "-".join(part for part in parts if part)
