"""The graph of foreign keys as plain data for programs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.postgres.schema.cycles import Way
    from freshpg.postgres.schema.fk_graph import FkGraph
    from freshpg.postgres.schema.model import ForeignKey, Table


def order_data(graph: FkGraph) -> dict[str, Any]:
    """Return tables, orders and cycles as plain data."""
    return {
        "tables": [
            {
                "table": table.qualified,
                "order": part.number,
                "kind": "partitioned" if table.kind == "p" else "table",
                "partitions": [one.qualified for one in graph.family(table)[1:]],
                "references": [_key_data(graph, key) for key in graph.references(table)],
            }
            for part in graph.components
            for table in part.tables
        ],
        "insertion_order": [table.qualified for table in graph.insertion_order()],
        "deletion_order": [table.qualified for table in graph.deletion_order()],
        "cycles": [
            {
                "tables": [table.qualified for table in cycle.tables],
                "foreign_keys": [graph.schema.describe(key) for key in cycle.foreign_keys],
                "insertion": _way_data(graph, cycle.insertion),
                "deletion": _way_data(graph, cycle.deletion),
            }
            for cycle in graph.cycles()
        ],
        "self_references": [graph.schema.describe(key) for key in graph.self_references()],
    }


def reach_data(graph: FkGraph, tables: Iterable[Table]) -> dict[str, Any]:
    """Return what ``TRUNCATE tables CASCADE`` empties as plain data, the nearest first."""
    paths = graph.reach(tables)
    return {
        "tables": [table.qualified for table, path in paths.items() if not path.hops],
        "reaches": [
            {"table": table.qualified, "because": [str(hop) for hop in path.hops]}
            for table, path in paths.items()
            if path.hops
        ],
    }


def _key_data(graph: FkGraph, key: ForeignKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "table": graph.schema.table_by_oid(key.table).qualified,
        "columns": list(key.columns),
        "references": graph.schema.table_by_oid(key.references).qualified,
        "referenced_columns": list(key.referenced_columns),
        "required": graph.is_required(key),
        "deferrable": key.deferrable,
        "on_delete": key.on_delete,
    }


def _way_data(graph: FkGraph, way: Way) -> dict[str, Any]:
    return {
        "possible": way.possible,
        "order": [table.qualified for table in way.order],
        "postponed": [graph.schema.describe(key) for key in way.postponed],
        "stuck": [graph.schema.describe(key) for key in way.stuck],
    }
