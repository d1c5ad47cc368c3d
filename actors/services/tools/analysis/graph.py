"""Directed graphs of names: strongly connected components, and one shortest cycle through each."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set

Graph = Mapping[str, Set[str]]
"""Every node with its successors. A successor that is no key has none itself."""


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """For every strongly connected component with a cycle a shortest one through its first node by name; sorted."""
    found: list[tuple[str, ...]] = []
    for component in components(graph):
        start = min(component)
        if len(component) > 1:
            found.append(_shortest_cycle(graph, start, component))
        elif start in graph.get(start, frozenset()):
            found.append((start,))
    return sorted(found)


def components(graph: Graph) -> list[frozenset[str]]:
    """The strongly connected components (Tarjan 1972, without recursion: a graph may be deeper than the stack)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    open_nodes: set[str] = set()
    found: list[frozenset[str]] = []
    for root in sorted(graph):
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = [_opened(graph, root, index, low, stack, open_nodes)]
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    work.append(_opened(graph, successor, index, low, stack, open_nodes))
                    break
                if successor in open_nodes:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found.append(_popped(node, stack, open_nodes))
    return found


def _opened(
    graph: Graph, node: str, index: dict[str, int], low: dict[str, int], stack: list[str], open_nodes: set[str]
) -> tuple[str, Iterator[str]]:
    index[node] = low[node] = len(index)
    stack.append(node)
    open_nodes.add(node)
    return node, iter(sorted(graph.get(node, frozenset())))


def _popped(node: str, stack: list[str], open_nodes: set[str]) -> frozenset[str]:
    component: set[str] = set()
    while node not in component:
        component.add(stack.pop())
    open_nodes -= component
    return frozenset(component)


def _shortest_cycle(graph: Graph, start: str, component: Set[str]) -> tuple[str, ...]:
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for successor in sorted(graph.get(node, frozenset())):
            if successor == start:
                return _path(came_from, start, node)
            if successor in component and successor not in came_from:
                came_from[successor] = node
                queue.append(successor)
    raise AssertionError(f"{start} is in no cycle of its component")


def _path(came_from: Mapping[str, str], start: str, end: str) -> tuple[str, ...]:
    path: list[str] = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))


def degrees(graph: Graph) -> Sequence[tuple[str, int, int]]:
    """(node, fan-in, fan-out) of every node, sorted by name. Edges to nodes that are no keys count as fan-out only."""
    fan_in: dict[str, int] = dict.fromkeys(graph, 0)
    for successors in graph.values():
        for successor in successors:
            if successor in fan_in:
                fan_in[successor] += 1
    return [(node, fan_in[node], len(graph[node])) for node in sorted(graph)]
