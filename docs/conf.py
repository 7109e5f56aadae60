"""Configuration of Sphinx; ``make docs`` builds with every warning an error."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from sphinx.application import Sphinx

project = "freshpg"
author = "the freshpg authors"
copyright = "the freshpg authors"  # noqa: A001 (Sphinx names it)
version = release = installed_version("freshpg")

extensions = ["myst_parser", "sphinx_click"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
suppress_warnings: list[str] = []


def show_examples(_app: object, ctx: click.Context, lines: list[str]) -> None:
    """Give each command its examples, as ``--help`` does."""
    examples = getattr(ctx.command, "examples", ())
    if examples:
        width = max(len(line) for line, _ in examples)
        shown = [f"   {line:<{width}}   # {what}" for line, what in examples]
        lines += [".. code-block:: console", "", *shown, ""]


def setup(app: Sphinx) -> None:
    """Let Sphinx call us."""
    app.connect("sphinx-click-process-description", show_examples)


html_theme = "furo"
html_title = f"freshpg {release}"
html_static_path: list[str] = []
html_copy_source = False
