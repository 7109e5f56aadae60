"""The graph of foreign keys as a picture: for Graphviz, for Mermaid. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.postgres.schema.fk_graph import FkGraph
    from freshpg.postgres.schema.model import ForeignKey, Table


def dot(graph: FkGraph, only: Iterable[Table] | None = None) -> str:
    """Return the graph in Graphviz's language; dashed arrows may be NULL or deferred, red ones close a cycle.

    https://graphviz.org/doc/info/lang.html
    """
    lines = ["digraph foreign_keys {", "  rankdir=LR;", "  node [shape=box];"]
    names = {table: _dot_text(table.qualified) for table in _drawn(graph, only)}
    lines += [f"  {name};" for name in names.values()]
    for own, other, loose, circular in _edges(graph, names):
        looks = [*(["style=dashed"] if loose else ()), *(["color=red"] if circular else ())]
        style = f" [{', '.join(looks)}]" if looks else ""
        lines.append(f"  {names[own]} -> {names[other]}{style};")
    return "\n".join([*lines, "}"])


def mermaid(graph: FkGraph, only: Iterable[Table] | None = None) -> str:
    """Return the graph as a Mermaid flowchart; dotted arrows may be NULL or deferred, thick ones close a cycle.

    https://mermaid.js.org/syntax/flowchart.html
    """
    names = {table: f"t{number}" for number, table in enumerate(_drawn(graph, only), 1)}
    lines = ["flowchart LR"]
    lines += [f'  {name}["{_mermaid_text(table.qualified)}"]' for table, name in names.items()]
    for own, other, loose, circular in _edges(graph, names):
        arrow = "-.->" if loose else "==>" if circular else "-->"
        lines.append(f"  {names[own]} {arrow} {names[other]}")
    return "\n".join(lines)


def _drawn(graph: FkGraph, only: Iterable[Table] | None) -> list[Table]:
    wholes = [table for part in graph.components for table in part.tables]
    if only is None:
        return wholes
    wanted = {graph.whole(table) for table in only}
    return [table for table in wholes if table in wanted]


def _edges(graph: FkGraph, drawn: Iterable[Table]) -> Iterator[tuple[Table, Table, bool, bool]]:
    """Yield each arrow once: from, to, whether it can wait, whether it is part of a cycle."""
    shown = set(drawn)
    circular = {key.oid for cycle in graph.cycles() for key in cycle.foreign_keys}
    for own in drawn:
        arrows: dict[Table, list[ForeignKey]] = {}
        for key in graph.references(own):
            other = graph.whole(graph.schema.table_by_oid(key.references))
            arrows.setdefault(other, []).append(key)
        for other, keys in arrows.items():
            if other in shown:
                loose = all(key.deferrable or not graph.is_required(key) for key in keys)
                yield own, other, loose, any(key.oid in circular for key in keys)


def _dot_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _mermaid_text(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("\n", " ")
