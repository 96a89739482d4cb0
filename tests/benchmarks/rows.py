"""What is compared: sets of edges, how TransformerLens measures them, and how much faster we mean to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple, TypeVar

from circuitgraph.graph.claims import Claim
from circuitgraph.graph.partition import partition_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Head
from tests.benchmarks.lens import Ends
from tests.measuring import edge, node

T = TypeVar("T")


class Peer(StrEnum):
    """How TransformerLens measures an edge of a row."""

    DIRECT = "direct path"
    LOGITS = "hooked forward"
    NODES = "node patching"


class Target(NamedTuple):
    """Times faster per edge than TransformerLens, at 8 pairs × 16 tokens on two cores of a CPU."""

    early: float
    late: float


@dataclass(frozen=True)
class Row:
    """A set of edges.

    Attributes:
        alike: whether the peer measures the same numbers; else it is only timed.
    """

    name: str
    claims: Callable[[ModelShape], list[Claim]]
    peer: Peer
    edges: Callable[[ModelShape], list[Ends]]
    target: Target | None = None
    alike: bool = True
    claim: Callable[[Ends], Claim] | None = None

    def asked(self, shape: ModelShape, count: int) -> list[Ends]:
        """Edges that the peer is timed with: its sweep goes through the receivers of one sender in order."""
        edges = self.edges(shape)
        if self.peer is not Peer.DIRECT:
            return spread(edges, count)
        sweeps = [list(some) for _, some in groupby(edges, key=lambda ends: ends[0])]
        chosen = spread(sweeps, max(1, count // 3))
        return [ends for sweep in chosen for ends in sweep[:3]]


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most so many of them, evenly from first to last."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def rows(shape: ModelShape) -> tuple[Row, ...]:
    """The rows for a model: layer 8 and layer 3 of GPT-2 small, layers as deep in others."""
    late, early = 2 * shape.layers // 3, shape.layers // 4
    return (
        _direct(f"heads of layer {late} → later q", (late,), Target(20, 35)),
        _direct(f"heads of layer {early} → later q", (early,), Target(8, 16)),
        _row("heads → logits", Peer.LOGITS, _heads, lambda ends: edge(str(ends[0]), "logits"), Target(500, 500)),
        _row("heads → later q at END", Peer.DIRECT, _later(range(shape.layers)), _to_end, Target(60, 60), alike=False),
        _row("heads, noised", Peer.NODES, _heads, lambda ends: node(str(ends[0])), Target(4, 4)),
    )


def every_edge() -> Row:
    """All edges of the finest partition; of TransformerLens, direct paths between heads."""
    return Row("all edges", _partition, Peer.DIRECT, lambda shape: _later(range(shape.layers))(shape), alike=False)


def _partition(shape: ModelShape) -> list[Claim]:
    return [edge(str(found.sender), str(found.target)) for found in partition_edges(shape)]


def _direct(name: str, layers: Sequence[int], target: Target) -> Row:
    return _row(name, Peer.DIRECT, _later(layers), lambda ends: edge(str(ends[0]), f"{ends[1]}<q>"), target)


def _row(
    name: str,
    peer: Peer,
    edges: Callable[[ModelShape], list[Ends]],
    claim: Callable[[Ends], Claim],
    target: Target,
    *,
    alike: bool = True,
) -> Row:
    def claims(shape: ModelShape) -> list[Claim]:
        return [claim(ends) for ends in edges(shape)]

    return Row(name, claims, peer, edges, target, alike, claim)


def _to_end(ends: Ends) -> Claim:
    return edge(str(ends[0]), f"{ends[1]}<q>@END")


def _heads(shape: ModelShape) -> list[Ends]:
    return [(Head(layer, index), None) for layer in range(shape.layers) for index in range(shape.heads)]


def _later(layers: Sequence[int]) -> Callable[[ModelShape], list[Ends]]:
    """From every head of some layers to every head of later layers."""

    def edges(shape: ModelShape) -> list[Ends]:
        return [
            (Head(layer, index), Head(after, other))
            for layer in layers
            for index in range(shape.heads)
            for after in range(layer + 1, shape.layers)
            for other in range(shape.heads)
        ]

    return edges
