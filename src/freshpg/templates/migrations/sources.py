"""Which files of a project a step reads: found without importing or running anything."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.templates.digests import file_digest
from freshpg.templates.migrations.base import Input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})


def search_path(root: Path) -> list[str]:
    """Return where modules are looked for: the project, its ``src``, then as in this process."""
    own = [str(path) for path in (root, root / "src") if path.is_dir()]
    return [*own, *(entry for entry in map(os.path.abspath, sys.path) if entry not in own)]


def find_module(name: str, path: Iterable[str]) -> Path | None:
    """Return the source file of a module, ``__init__.py`` for a package, without importing its parents."""
    relative = Path(*name.split("."))
    for entry in path:
        base = Path(entry) / relative
        for candidate in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if candidate.is_file():
                return candidate
    return None


def import_closure(start: Path, name: str, root: Path) -> tuple[Path, ...]:
    """Return ``start`` and every file of the project it imports, directly or not, as far as can be read off.

    A table created by ``metadata.create_all()`` is described in a module that is only imported. Modules outside the
    project are left out, and so are imports made at run time by name.
    """
    path = search_path(root)
    found: dict[Path, None] = {}
    waiting = [(start, name)]
    while waiting:
        file, module = waiting.pop()
        if file in found:
            continue
        found[file] = None
        for imported in _imports(file, module):
            source = find_module(imported, path)
            if source and _belongs_to(source, root):
                waiting.append((source, imported))
    return tuple(sorted(found))


def digest_files(files: Iterable[Path], root: Path) -> tuple[Input, ...]:
    """Return an input a file, named relative to the project."""
    return tuple(Input(os.path.relpath(file, root), file_digest(file)) for file in files)


def digest_tree(path: Path, root: Path) -> tuple[Input, ...]:
    """Return the digests of a file, or of all files below a directory inside the project; of nothing else."""
    if path.is_file() and _belongs_to(path, root):
        return digest_files([path], root)
    if not path.is_dir() or path.resolve() == root.resolve() or not _belongs_to(path, root):
        return ()
    return digest_files(walk(path), root)


def walk(directory: Path) -> Iterator[Path]:
    """Yield the regular files below a directory in a fixed order, without hidden and foreign directories."""
    for current, directories, files in os.walk(directory):
        directories[:] = sorted(
            name for name in directories if name[0] != "." and name not in _FOREIGN
        )
        yield from (file for name in sorted(files) if (file := Path(current, name)).is_file())


def _belongs_to(path: Path, root: Path) -> bool:
    try:
        inside = path.resolve().relative_to(root.resolve())
    except ValueError:
        return False
    return not any(part in _FOREIGN or part[0] == "." for part in inside.parts[:-1])


def _imports(file: Path, module: str) -> Iterator[str]:
    """Yield every module that might be meant; names that are no modules are sorted out by not being found."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
        for name in names:
            yield from _with_parents(name)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    kept = parents[: len(parents) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])
