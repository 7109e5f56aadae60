"""What the documentation shows is what happens: its files are written, its commands run, their output compared."""

import pytest
from documentation import (
    EXAMPLE_LANGUAGES,
    act,
    blocks,
    clear_away,
    matches,
    name_of,
    pages,
    projects,
)

SHOWN_ONLY = {"text", "", "mermaid", "toctree", "grid", "click", "eval-rst"}
PROJECTS = [project for page in pages() for project in projects(page)]
RUNNING = [p for p in PROJECTS if any(block.verb == "run" for block in p.blocks)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "project", RUNNING, ids=[f"{project.page}-{project.blocks[0].line}" for project in RUNNING]
)
def test_the_page_shows_what_happens(project, tmp_path):
    directory = tmp_path / project.name
    directory.mkdir()

    try:
        for block in project.blocks:
            act(block, directory)
    finally:
        clear_away(directory)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_example_is_run_or_says_why_not(page):
    unmarked = [
        str(block)
        for block in blocks(page)
        if block.language in EXAMPLE_LANGUAGES
        and block.verb not in {"file", "append", "run"}
        and not (block.verb == "not run" and block.argument)
    ]

    assert unmarked == []


def test_the_runner_is_not_blind():
    assert matches("1 passed in 0.12s", "1 passed in 3.4s\n")
    assert matches("a\n…\nz", "a\nb\nc\nz")
    assert not matches("2 passed in 0.12s", "1 passed in 0.12s")
    assert not matches("1 passed", "1 passed, 1 warning")
