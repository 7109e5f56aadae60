"""Is what a test depends on in working order, from the socket to the migrated schema."""

from freshpg.health.checks import NOT_STARTED, Check, Health
from freshpg.health.examine import examine

__all__ = ["NOT_STARTED", "Check", "Health", "examine"]
