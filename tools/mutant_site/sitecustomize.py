"""Imports a mutant in its module's place, in whatever Python a test starts; found by PYTHONPATH, told by MUTANT."""

from __future__ import annotations

import os
import sys
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_MODULE, _, _FILE = os.environ.get("MUTANT", "").partition("=")


class _InPlace:
    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        """Return the mutant for its module."""
        return spec_from_file_location(name, _FILE) if name == _MODULE else None


if _FILE:
    sys.meta_path.insert(0, _InPlace)
