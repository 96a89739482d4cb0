"""Edges to keys and values of single query heads <-> those to the ones that a group shares. Pure.

The files of other tools have keys and values of each query head. Where query heads share them, a circuit has the edge
to what is shared (`a1.kv0<k>`): it is what the edges of all query heads of the group are together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.records import Edge
from circuitgraph.nodes import Address, Head, KVHead, Port


@dataclass(frozen=True)
class Folded:
    """Edges as a circuit of the model has them."""

    edges: tuple[Edge, ...]
    """Each shared edge stands where the first of its query heads stood."""
    together: tuple[Edge, ...]
    """The shared ones among them that were made of all query heads of a group."""
    alone: tuple[Edge, ...]
    """Edges to keys or values of some query heads of a group: no edges of a circuit."""


def folded(edges: Sequence[Edge], shape: ModelShape) -> Folded:
    """Edges of all query heads of a group as the one edge to what they share."""
    inside = set(edges)
    found: dict[Edge, None] = {}
    together: dict[Edge, None] = {}
    alone: list[Edge] = []
    for edge in edges:
        shared = _shared(edge, shape)
        if shared is None:
            found[edge] = None
        elif inside.issuperset(of_query_heads(shared, shape)):
            found[shared] = together[shared] = None
        else:
            found[edge] = None
            alone.append(edge)
    return Folded(tuple(found), tuple(together), tuple(alone))


def of_query_heads(edge: Edge, shape: ModelShape) -> Iterable[Edge]:
    """The edges to the same keys or values of each query head; an edge to anything else by itself."""
    match edge.target:
        case Address(KVHead(layer, index), ports):
            share = shape.heads // shape.kv_heads
            return [Edge(edge.sender, Address(Head(layer, index * share + i), ports)) for i in range(share)]
        case _:
            return [edge]


def _shared(edge: Edge, shape: ModelShape) -> Edge | None:
    match edge.target:
        case Address(Head(layer, index), (Port.K | Port.V,) as ports) if shape.grouped:
            return Edge(edge.sender, Address(KVHead(layer, shape.kv_head(index)), ports))
        case _:
            return None
