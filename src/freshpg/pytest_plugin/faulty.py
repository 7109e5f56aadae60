"""The fixture ``pg_faulty``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.handle import Database
    from freshpg.testing import FaultyServer


@pytest.fixture
def pg_faulty(pg: Database) -> Iterator[FaultyServer]:
    """A ``FaultyServer`` in front of ``pg``: the same database through a connection that can be made bad."""
    from freshpg.testing import FaultyServer

    with FaultyServer(pg) as faulty:
        yield faulty
