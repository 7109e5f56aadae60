"""Strongly connected components of a directed graph. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


def strongly_connected(graph: Mapping[Node, Collection[Node]]) -> list[tuple[Node, ...]]:
    """Return the components, each after all those it points to.

    ``graph`` says for every node which ones it points to; all of those are nodes too. Its order decides where
    several orders are right. Time grows with nodes plus edges.
    """
    search = _Search(graph)
    for node in graph:
        search.start(node)
    return search.found


class _Search(Generic[Node]):
    """Tarjan's algorithm, without recursion.

    R. Tarjan, "Depth-first search and linear graph algorithms", SIAM Journal on Computing 1 (1972).
    """

    def __init__(self, graph: Mapping[Node, Collection[Node]]) -> None:
        self.found: list[tuple[Node, ...]] = []
        self._graph = graph
        self._number: dict[Node, int] = {}
        # The smallest number that each node is known to lead back to.
        self._back: dict[Node, int] = {}
        # Nodes whose component is not known yet, in order of their numbers.
        self._open: dict[Node, None] = {}
        # From the start to where the search is, each with the nodes it still has to look at.
        self._way: list[tuple[Node, Iterator[Node]]] = []

    def start(self, node: Node) -> None:
        """Search from ``node``, unless a search came by before."""
        if node in self._number:
            return
        self._descend(node)
        while self._way:
            here, onward = self._way[-1]
            for following in onward:
                if following not in self._number:
                    self._descend(following)
                    break
                if following in self._open:
                    self._back[here] = min(self._back[here], self._number[following])
            else:
                self._ascend()

    def _descend(self, node: Node) -> None:
        self._number[node] = self._back[node] = len(self._number)
        self._open[node] = None
        self._way.append((node, iter(self._graph[node])))

    def _ascend(self) -> None:
        node, _ = self._way.pop()
        if self._way:
            above, _ = self._way[-1]
            self._back[above] = min(self._back[above], self._back[node])
        if self._back[node] == self._number[node]:
            self._close(node)

    def _close(self, first: Node) -> None:
        """Everything opened since ``first`` leads back to it and to nothing before it: a component."""
        members: list[Node] = []
        while not members or members[-1] != first:
            members.append(self._open.popitem()[0])
        self.found.append(tuple(reversed(members)))
