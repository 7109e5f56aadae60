"""Which functions do something that outlives the process, found in the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "freshpg"
ROOMS = (
    *("servers", "templates", "leases", "provision", "isolation", "postgres", "cli"),
    *("kept.py", "keeping.py", "holding.py", "tenancy.py"),
)
ACTS = {
    *("rename", "unlink", "rmdir", "mkdir", "makedirs", "mkdtemp", "mkstemp", "rmtree"),
    *(
        "symlink_to",
        "write_text",
        "write_bytes",
        "copyfile",
        "copytree",
        "chown",
        "bind",
        "Popen",
        "fork",
    ),
}
STATEMENTS = re.compile(
    r"\s*(CREATE|DROP|ALTER) (DATABASE|ROLE)|\s*COMMENT ON (DATABASE|ROLE)|\s*GRANT .* TO CURRENT_USER"
)
"""A rollback, a table or a row is undone by the server; these are not."""


def functions_with_durable_acts():
    """Yield ``file:function``, what it does, and whether it passes a fault point."""
    for room in ROOMS:
        place = SOURCE / room
        for path in sorted(place.rglob("*.py") if place.is_dir() else [place]):
            for function in _functions(ast.parse(path.read_text())):
                acts = sorted(set(_acts(function)))
                if acts:
                    yield f"{path.relative_to(SOURCE)}:{function.name}", acts, _has_point(function)


def _functions(tree):
    return (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _acts(function):
    for node in _own_nodes(function):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            # Of a text, ``replace`` takes two arguments; of a path, one.
            if name in ACTS or (name == "replace" and len(node.args) == 1 and not node.keywords):
                yield name
        text = _text(node)
        if text and STATEMENTS.match(text):
            yield " ".join(text.split()[:3])


def _text(node):
    if isinstance(node, ast.JoinedStr) and node.values:
        return _text(node.values[0])
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _own_nodes(function):
    """Everything in a function but the functions inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _has_point(function):
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "faultpoint"
        for node in _own_nodes(function)
    )
