"""The deep audit: a hash of every row, sequence, large object and catalog row, by name.

Slow and complete: the oracle that the quick audit and every repair are held against.
"""

from freshpg.isolation.audit.deep.difference import Difference, Entry
from freshpg.isolation.audit.deep.state import DeepState

__all__ = ["DeepState", "Difference", "Entry"]
