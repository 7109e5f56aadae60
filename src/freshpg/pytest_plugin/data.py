"""The fixture ``pg_data``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.data import TestData
    from freshpg.handle import Database


@pytest.fixture
def pg_data(pg: Database, request: pytest.FixtureRequest) -> Iterator[TestData]:
    """Rows of ``pg``: set up, verify, remove. Paths of files begin at the project's root."""
    from freshpg.data import TestData

    with TestData(pg, root=request.config.stash[RUN].root) as data:
        yield data
