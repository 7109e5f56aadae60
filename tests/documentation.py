"""The documentation as data: pages, headings, code blocks, and what is to be done with each block.

A comment before a fenced block, unseen by readers, says what it is::

    <!-- file: tests/test_shop.py -->      the block is written there; "append:" adds to it
    <!-- run -->                           each line after "$ " is run, what follows it is compared
    <!-- run: exit 1 -->                   the same, and the last command ends with 1
    <!-- run: with django -->              the same, and pytest has this plugin beside ours
    <!-- not run: reason -->               shown only

Pages and sections after ``<!-- new project -->`` work in a directory of their own, whose name may be given
(``<!-- new project: shop -->``). In expected output ``…`` stands for anything, numbers with a unit or a point for any
such number. Lines of progress, which come only when something is slow, are passed over.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PATIENCE = 120.0
EXAMPLE_LANGUAGES = {"python", "toml", "ini", "sql", "console", "yaml", "javascript"}

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=ticks)$",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(r"<!-- *((?:(?!-->).)*?) *-->\s*\Z", re.DOTALL)
_NEW_PROJECT = re.compile(r"^<!-- *new project(?:: *([\w-]+))? *-->$", re.MULTILINE)
_PROGRESS = re.compile(r"^freshpg(?: gw\d+)?: .*\n", re.MULTILINE)
_NOT_INHERITED = ("COV_", "DJANGO_", "PG", "PYTEST_")
_NUMBERS = (
    (r"={3,}", "==="),
    (r"-{3,}", "---"),
    (r"[\d.,]+ ?(ms|s|MB|kB|KB|GB|bytes)\b", r"# \1"),
    (r"\d+(\.\d+)+", "#"),
    (r"\bpid \d+", "pid #"),
    (r"\b(embedded|system), (warm|image|initdb)\b", r"\1, #"),
    (r"\d+ clones? made", "# clones made"),
    (r"freshpg-\d+/servers/[0-9a-f]+", "freshpg-#/servers/#"),
    (r"[ \t]+", " "),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block and what its comment says."""

    page: str
    line: int
    language: str
    text: str
    directive: str

    @property
    def verb(self) -> str:
        return self.directive.partition(":")[0].strip()

    @property
    def argument(self) -> str:
        return self.directive.partition(":")[2].strip()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(slots=True)
class Project:
    """Blocks that share a directory, in order."""

    page: str
    name: str
    blocks: list[Block] = field(default_factory=list)


def pages() -> list[Path]:
    """Return every page a reader may open."""
    found = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", *sorted(found)]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def headings(page: Path) -> list[str]:
    """Return the headings of a page without marks of code."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [line.replace("`", "") for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]


def blocks(page: Path) -> list[Block]:
    return [block for project in projects(page) for block in project.blocks]


def projects(page: Path) -> list[Project]:
    """Return the blocks of a page by the directory they work in."""
    text = page.read_text(encoding="utf-8")
    starts = [(0, "project")]
    starts += [(found.start(), found[1] or "project") for found in _NEW_PROJECT.finditer(text)]
    found_projects = [Project(name_of(page), name) for _, name in starts]
    for fence in _FENCE.finditer(text):
        number = sum(start <= fence.start() for start, _ in starts) - 1
        comment = _COMMENT.search(text[: fence.start()])
        directive = comment[1] if comment else ""
        found_projects[number].blocks.append(
            Block(
                name_of(page),
                text.count("\n", 0, fence.start()) + 1,
                fence["language"],
                _dedented(fence["text"], fence["indent"]),
                "" if directive.startswith("new project") else directive,
            )
        )
    return [project for project in found_projects if project.blocks]


def act(block: Block, directory: Path) -> None:
    """Do what the block's comment says in ``directory``; AssertionError when it comes out differently."""
    if block.verb in {"file", "append"}:
        target = directory / block.argument
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w" if block.verb == "file" else "a", encoding="utf-8") as stream:
            stream.write(block.text)
    elif block.verb == "run":
        _run(block, directory)
    elif block.verb not in {"", "not run"}:
        raise AssertionError(f"{block}: unknown comment {block.directive!r}")


def _run(block: Block, directory: Path) -> None:
    asked = list(_commands(block.text))
    assert asked, f"{block}: no line begins with '$ '"
    expected_code = re.search(r"exit (\d+)", block.argument)
    plugins = re.findall(r"with (\w+)", block.argument)
    for number, (command, expected) in enumerate(asked, 1):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=directory,
            env=_environment(plugins),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        output = done.stdout + _PROGRESS.sub("", done.stderr)
        code = int(expected_code[1]) if expected_code and number == len(asked) else 0
        assert done.returncode == code, (
            f"{block}: $ {command}\nended with {done.returncode}\n{output}"
        )
        if expected.strip():
            assert matches(expected, output), (
                f"{block}: $ {command}\nexpected\n{expected}\ngot\n{output}"
            )


def matches(expected: str, output: str) -> bool:
    """Whether ``output`` is what a page shows: all of it, but for ``…``, numbers and what lies between plugins."""
    parts = [re.escape(part) for part in _normal(expected).split("…")]
    return re.fullmatch("(?s:.*?)".join(parts), _normal(output)) is not None


def _normal(text: str) -> str:
    for pattern, replacement in _NUMBERS:
        text = re.sub(pattern, replacement, text)
    lines = [line.strip() for line in text.splitlines()]
    # Which plugins are listed differs from one machine to the next.
    return "\n".join(line for line in lines if line and not line.startswith("plugins:"))


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = f"{command[:-1]}{more.removeprefix('> ')}"
        yield command, expected


def clear_away(directory: Path) -> None:
    """End the servers that examples left up, for kept databases or on purpose."""
    for state in directory.rglob(".freshpg"):
        subprocess.run(
            ["freshpg", "down", "--force"],
            cwd=state.parent,
            env=_environment(),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )


def _environment(plugins: Collection[str] = ()) -> dict[str, str]:
    """Return that of a shell just opened, in which servers end with their command."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {
        "PATH": search_path,
        "FRESHPG_LINGER": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # What is installed beside us is no part of a reader's project, and slow to load.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": " ".join(
            f"-p {name}" for name in ("freshpg", *plugins, "no:cacheprovider")
        ),
    }
    kept.pop("CI", None)
    return kept | ours


def _dedented(text: str, indent: str) -> str:
    return re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) if indent else text
