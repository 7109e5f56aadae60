"""Imports a mutant in its module's place, in whatever Python a test starts; found by PYTHONPATH, told by MUTANT."""

from __future__ import annotations

import os
import sys
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class _InPlace:
    def __init__(self, module: str, file: str) -> None:
        self._module, self._file = module, file

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Return the mutant for its module."""
        return spec_from_file_location(name, self._file) if name == self._module else None


def use_mutant() -> None:
    """Import from now on what MUTANT says, ``module=file``."""
    module, _, file = os.environ.get("MUTANT", "").partition("=")
    if file:
        sys.meta_path.insert(0, _InPlace(module, file))


use_mutant()
