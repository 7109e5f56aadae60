"""Undoing exactly what was left: in place where that can be proven, otherwise not at all."""
