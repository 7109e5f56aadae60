"""Mutants of a module: its source with one thing changed that a test should notice. Pure."""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_SQL = re.compile(r"\b(SELECT|WHERE|ALTER|COMMENT|DROP|CREATE|INSERT|DELETE|GRANT)\b")
_SQL_WORDS = (
    (" AND ", " OR "),
    (" OR ", " AND "),
    (" = ", " <> "),
    (" <> ", " = "),
    (">=", "<"),
    ("NOT ", ""),
    ("IS_TEMPLATE true", "IS_TEMPLATE false"),
    ("IS_TEMPLATE false", "IS_TEMPLATE true"),
    ("CONNECTIONS true", "CONNECTIONS false"),
    ("CONNECTIONS false", "CONNECTIONS true"),
)
_SAID = frozenset({"failed", "on", "seen", "todo", "why"})
"""Arguments that are words for a person; what they say is looked at where errors are."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed source; ``name`` is its own in the module, whatever line it is on, ``where`` the function's."""

    line: int
    where: str
    name: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    for number, name in enumerate(names_of(source)):
        changed = copy.deepcopy(tree)
        place = _Places(changed).found[number]
        place.act()
        text = ast.unparse(ast.fix_missing_locations(changed))
        yield Mutant(place.node.lineno, place.where, name, text)


def names_of(source: str) -> list[str]:
    """Return the names of all mutants of a module: function, change, and which of several that are the same."""
    seen: dict[str, int] = {}
    names = []
    for place in _Places(ast.parse(source)).found:
        name = f"{place.where}: {place.what}: {_short(place.node)}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:89]}…"


@dataclass(frozen=True, slots=True)
class _Place:
    node: ast.expr | ast.stmt
    where: str
    what: str
    act: Callable[[], object]


class _Places(ast.NodeVisitor):
    """Walks what runs: no annotation, import, docstring or block for type checkers."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[_Place] = []
        self._inside: list[str] = []
        self._body(tree.body)

    def _add(self, node: ast.expr | ast.stmt, what: str, act: Callable[[], object]) -> None:
        self.found.append(_Place(node, ".".join(self._inside) or "module", what, act))

    def _body(self, body: list[ast.stmt]) -> None:
        for position, statement in enumerate(body):
            if isinstance(statement, ast.Import | ast.ImportFrom) or _is_text(statement):
                continue
            if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
                continue
            self._statement(body, position, statement)
            self.visit(statement)

    def _statement(self, body: list[ast.stmt], position: int, statement: ast.stmt) -> None:
        def gone() -> None:
            body[position] = ast.Pass(lineno=statement.lineno, col_offset=0)

        if "faultpoint(" in ast.unparse(statement)[:11]:
            # Does nothing unless a test of kills asks for it.
            return
        if isinstance(statement, ast.Expr | ast.Raise | ast.Continue | ast.Break | ast.AugAssign):
            self._add(statement, "left out", gone)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
            if ast.unparse(statement.value) not in {"None", "[]", "{}"}:
                self._add(statement, "left out", gone)
        elif isinstance(statement, ast.Return) and statement.value is not None:
            self._returned(statement, statement.value)

    def _returned(self, statement: ast.Return, value: ast.expr) -> None:
        if not isinstance(value, ast.Constant) or value.value is not None:
            self._add(
                statement, "None returned", lambda: setattr(statement, "value", ast.Constant(None))
            )

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._named(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._named(node)

    def _named(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self._inside.append(node.name)
        self._body(node.body)
        self._inside.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def _blocks(self, node: ast.stmt) -> None:
        for name, value in ast.iter_fields(node):
            if name in {"body", "orelse", "finalbody"}:
                self._body(value)
            elif name == "handlers":
                for handler in value:
                    self._body(handler.body)
            elif isinstance(value, ast.AST):
                self.visit(value)
            elif isinstance(value, list):
                for one in value:
                    self.visit(one)

    def visit_If(self, node: ast.If) -> None:
        self._condition(node)
        self._blocks(node)

    def visit_While(self, node: ast.While) -> None:
        self._blocks(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node)
        self.generic_visit(node)

    def _condition(self, node: ast.If | ast.IfExp) -> None:
        for value in (True, False):
            self._add(
                node.test,
                f"always {value}",
                lambda value=value: setattr(node, "test", ast.Constant(value)),  # type: ignore[misc]
            )

    def visit_For(self, node: ast.For) -> None:
        self._blocks(node)

    def visit_With(self, node: ast.With) -> None:
        self._blocks(node)

    def visit_Try(self, node: ast.Try) -> None:
        self._blocks(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for position, operator in enumerate(node.ops):
            other = _COMPARED[type(operator)]
            self._add(
                node,
                other.__name__,
                lambda at=position, other=other: node.ops.__setitem__(at, other()),  # type: ignore[misc]
            )
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        self._add(node, other.__name__, lambda: setattr(node, "op", other()))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add(node, "not dropped", lambda: _become_bool(node))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = _CALCULATED.get(type(node.op))
        if other is not None and not isinstance(node.left, ast.Constant | ast.JoinedStr):
            self._add(node, other.__name__, lambda: setattr(node, "op", other()))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.visit(node.func)
        for word in node.keywords:
            if word.arg not in _SAID:
                self.visit(word.value)
        # An error's first argument says what failed.
        is_error = ast.unparse(node.func)[:1].isupper() and any(
            word.arg in _SAID for word in node.keywords
        )
        for argument in node.args[1:] if is_error else node.args:
            self.visit(argument)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(node, "the other", lambda: setattr(node, "value", not value))
        elif isinstance(value, int | float):
            self._add(node, "one more", lambda: setattr(node, "value", value + 1))
        elif isinstance(value, str) and _SQL.search(value):
            for old, new in _SQL_WORDS:
                for found in re.finditer(re.escape(old), value):
                    text = value[: found.start()] + new + value[found.end() :]
                    self._add(node, f"{old.strip()} at {found.start()} -> {new.strip() or 'nothing'}",
                              lambda text=text: setattr(node, "value", text))  # type: ignore[misc]  # fmt: skip


def _become_bool(node: ast.UnaryOp) -> None:
    # not not x: as much as bool(x), in place.
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
