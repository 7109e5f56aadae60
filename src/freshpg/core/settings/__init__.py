"""What the user decided, from which place, checked before anything is made.

Sources, later ones win: defaults, ``pyproject.toml`` or ``freshpg.toml``, the environment (``FRESHPG_*``), options of
pytest or the command line, arguments of a call. ``DATABASE_URL`` is never read.
"""

from __future__ import annotations

from freshpg.core.settings.model import DatabaseSettings, Settings
from freshpg.core.settings.origin import Origin
from freshpg.core.settings.rows import SettingRow
from freshpg.core.settings.schema import ISOLATION_LEVELS, SERVERS, SUPPORTED_MAJORS
from freshpg.core.settings.sources import OTHER_VARIABLES, load_settings

__all__ = [
    "ISOLATION_LEVELS",
    "OTHER_VARIABLES",
    "SERVERS",
    "SUPPORTED_MAJORS",
    "DatabaseSettings",
    "Origin",
    "SettingRow",
    "Settings",
    "load_settings",
]
