"""The kinds of migrations a blueprint may name, one file a kind."""

from freshpg.templates.migrations.parse import parse_step

__all__ = ["parse_step"]
