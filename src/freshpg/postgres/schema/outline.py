"""The graph of foreign keys as text for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.postgres.quoting import readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.postgres.schema.cycles import Cycle, Way
    from freshpg.postgres.schema.fk_graph import Component, FkGraph
    from freshpg.postgres.schema.model import ForeignKey, Table
    from freshpg.postgres.schema.reach import Path

IN_ORDER = "Rows go in from the first number to the last and out the other way; tables of one number in any order."


def order_text(graph: FkGraph) -> str:
    """Return the tables by number, each with what it references, and what to do about cycles."""
    lines = [_summary(graph), *((IN_ORDER, "") if graph.components else ())]
    width = len(str(graph.components[-1].number)) if graph.components else 0
    previous = 0
    for part in graph.components:
        for table in part.cycle.insertion.order if part.cycle else part.tables:
            label = str(part.number) if part.number != previous else ""
            previous = part.number
            lines.append(f"{label:>{width}}  {table.qualified}{_remark(graph, part, table)}")
            lines += [f"{'':{width}}      {line}" for line in _arrows(graph, table)]
    for cycle in graph.cycles():
        lines += ["", *_cycle_lines(graph, cycle)]
    return "\n".join(lines)


def reach_text(graph: FkGraph, tables: Iterable[Table]) -> str:
    """Return what ``TRUNCATE tables CASCADE`` empties, as a tree of who drags whom along."""
    paths = graph.reach(tables)
    asked = [table for table, path in paths.items() if not path.hops]
    names = ", ".join(table.qualified for table in asked)
    others = len(paths) - len(asked)
    lines = [f"TRUNCATE {names} CASCADE empties {_count(others, 'other table')} too"]
    for table in asked:
        lines += ["", table.qualified, *_branches(paths, table, "")]
    return "\n".join(lines)


def _summary(graph: FkGraph) -> str:
    wholes = sum(len(part.tables) for part in graph.components)
    partitions = len(graph.insertion_order()) - wholes
    keys = sum(not key.parent for key in graph.schema.foreign_keys)
    words = [
        _count(wholes, "table"),
        *([_count(partitions, "partition")] if partitions else ()),
        _count(keys, "foreign key"),
        _count(len(graph.cycles()), "cycle"),
    ]
    return ", ".join(words)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _remark(graph: FkGraph, part: Component, table: Table) -> str:
    partitions = len(graph.family(table)) - 1
    words = [
        *([_count(partitions, "partition")] if table.kind == "p" else ()),
        *(["in a cycle"] if part.cycle else ()),
    ]
    return _remarks(words)


def _remarks(words: list[str]) -> str:
    return f"  ({', '.join(words)})" if words else ""


def _arrows(graph: FkGraph, table: Table) -> list[str]:
    """Describe what a table references; partitions often repeat a key, which is then shown once."""
    owners: dict[str, list[Table]] = {}
    for key in graph.references(table):
        other = graph.schema.table_by_oid(key.references)
        columns = ", ".join(map(readable, key.columns))
        target = "itself" if graph.whole(other) == table else other.qualified
        words = [
            *(["may be NULL"] if not graph.is_required(key) else ()),
            *(["deferrable"] if key.deferrable else ()),
        ]
        line = f"{columns} → {target}{_remarks(words)}"
        owners.setdefault(line, []).append(graph.schema.table_by_oid(key.table))
    return [
        line if table in tables else f"{line}  ({_in_partitions(tables)})"
        for line, tables in owners.items()
    ]


def _in_partitions(tables: list[Table]) -> str:
    return f"in {tables[0].qualified}" if len(tables) == 1 else f"in {len(tables)} partitions"


def _cycle_lines(graph: FkGraph, cycle: Cycle) -> Iterator[str]:
    yield f"cycle of {', '.join(table.qualified for table in cycle.tables)}"
    yield from _way_lines(graph, cycle.insertion, "in", "INSERT", "until the last of them is in")
    yield from _way_lines(graph, cycle.deletion, "out", "DELETE", "before the first of them goes")


def _way_lines(graph: FkGraph, way: Way, word: str, verb: str, when: str) -> Iterator[str]:
    if way.stuck:
        yield f"  {word}: only together, in one statement (WITH … {verb}), because of"
        yield from (f"    {graph.schema.describe(key)}" for key in way.stuck)
        return
    yield f"  {word}: {', '.join(table.qualified for table in way.order)}"
    for key in way.postponed:
        yield f"    {_how_to_wait(graph, key, verb, when)} {graph.schema.describe(key)}"


def _how_to_wait(graph: FkGraph, key: ForeignKey, verb: str, when: str) -> str:
    deferred = key.deferrable and (verb == "INSERT" or key.on_delete == "no action")
    if deferred:
        return "deferred to the commit:"
    if verb == "DELETE" and key.on_delete == "cascade":
        return "deleted along (ON DELETE CASCADE):"
    return f"NULL {when}:" if not graph.is_required(key) else "deferred:"


def _branches(paths: dict[Table, Path], source: Table, indent: str) -> Iterator[str]:
    nearest = [
        (table, path)
        for table, path in paths.items()
        if path.hops and path.hops[-1].source == source
    ]
    for number, (table, path) in enumerate(nearest, 1):
        last = number == len(nearest)
        hop = path.hops[-1]
        why = (
            hop.kind
            if hop.foreign_key is None
            else ", ".join(map(readable, hop.foreign_key.columns))
        )
        yield f"{indent}{'└─' if last else '├─'} {table.qualified} ({why})"
        yield from _branches(paths, table, f"{indent}{'   ' if last else '│  '}")
