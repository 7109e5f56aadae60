"""The keeper's hook for :mod:`freshpg.core.faults`, which it loads by file, and only where a test asks for faults."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing(_name: str) -> None:
    """Pass the point."""


def _by_file() -> Callable[[str], None]:
    from importlib.util import module_from_spec, spec_from_file_location

    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "..", "..", "core", "faults.py")
    spec = spec_from_file_location("freshpg_faults", path)
    assert spec is not None  # noqa: S101 (a path to a .py file always has one)
    assert spec.loader is not None  # noqa: S101 (as above)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    act: Callable[[str], None] = module.faultpoint
    return act


faultpoint = _by_file() if os.environ.get("FRESHPG_FAULTS") else _nothing
