import sys

import pytest
from keeper_world import image, installation, keeper, world

__all__ = ["image", "installation", "keeper", "world"]


def pytest_collection_modifyitems(items):
    if not sys.platform.startswith("linux"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="looks for leftovers in /proc"))
