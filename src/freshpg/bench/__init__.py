"""Measures isolation on a project's own schema and proves that it holds there."""
