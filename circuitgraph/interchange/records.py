"""What the files of other tools hold: edges of the finest partition with scores, and where those came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from circuitgraph.errors import InputError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import MLP, Address, Head, Input, Logits, Node, Port


class Direction(StrEnum):
    """Which difference a score is, or estimates."""

    EFFECT = "effect"
    """metric(edge patched) − metric(base run): what a run's column `effect` is."""
    IMPORTANCE = "importance"
    """metric(base run) − metric(edge patched): positive where the edge helps the metric."""
    UNKNOWN = "unknown"
    """The file does not say."""


MORE_IS_BETTER = ("logit_diff", "logit", "prob", "prob_diff", "log_prob")
"""Metrics of which it is known that a model does its task better where they are larger."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the graph of EAP-IG depends on, as its files have it under `cfg`."""

    layers: int
    heads: int
    parallel: bool = False
    d_model: int | None = None

    @property
    def shape(self) -> ModelShape:
        """A model of these sizes; keys and values of each query head by themselves, as EAP-IG has them."""
        return ModelShape(self.layers, self.heads, self.heads, d_model=self.d_model, parallel=self.parallel)


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One edge of EAP-IG's graph."""

    sender: Node
    target: Address

    def __str__(self) -> str:
        return f"{self.sender}->{self.target}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a file says of an edge or a node. None: nothing (no score, or NaN; no membership)."""

    score: float | None = None
    in_graph: bool | None = None


@dataclass(frozen=True)
class ScoredGraph:
    """Edges (those that the file lists, in its order) and nodes with scores and membership.

    `about` says where they came from: `direction`, `base`, `source`, `metric`, `made_by` and more, in JSON types.
    An edge that is not listed was not scored.
    """

    sizes: Sizes | None
    edges: Mapping[Edge, Mark]
    nodes: Mapping[Node, Mark] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def direction(self) -> Direction:
        """Which difference the scores are."""
        given = self.about.get("direction")
        return Direction(given) if given in list(Direction) else Direction.UNKNOWN

    @property
    def scored(self) -> bool:
        """Whether any edge has a score."""
        return any(mark.score is not None for mark in self.edges.values())

    def told(self, direction: Direction) -> ScoredGraph:
        """The same scores, said to be of a direction."""
        return replace(self, about={**self.about, "direction": direction.value})

    def turned(self, direction: Direction) -> ScoredGraph:
        """The same scores as another difference: all with the other sign, or as they are.

        Raises:
            InputError: it is not known which difference they are.
        """
        if direction is self.direction:
            return self
        if Direction.UNKNOWN in (direction, self.direction):
            raise InputError(
                f"the file does not say which difference its scores are, so they cannot be written as {direction}; "
                f"say what they are with direction ({Direction.EFFECT} or {Direction.IMPORTANCE})"
            )
        edges = {edge: replace(mark, score=_minus(mark.score)) for edge, mark in self.edges.items()}
        nodes = {node: replace(mark, score=_minus(mark.score)) for node, mark in self.nodes.items()}
        return replace(self, edges=edges, nodes=nodes).told(direction)

    def kept(self, top: int | None, threshold: float | None) -> ScoredGraph:
        """The same graph with the edges of largest |score| in it: `top` of them, or those of at least `threshold`.

        Raises:
            InputError: no scores to choose by, or not so many.
        """
        if top is None and threshold is None:
            return self
        if top is not None and threshold is not None:
            raise InputError("top or threshold, not both")
        if threshold is not None and not threshold >= 0:  # NaN is neither
            raise InputError(f"threshold is held against |score|, and is a number from 0; not {threshold:g}")
        ranked = sorted(
            ((abs(mark.score), edge) for edge, mark in self.edges.items() if mark.score is not None),
            key=lambda item: -item[0],
        )
        if not ranked:
            raise InputError("there are no scores to choose edges by")
        if top is not None and not 0 < top <= len(ranked):
            raise InputError(f"top is a number from 1 to {len(ranked)}, the edges that have a score; not {top}")
        chosen = ranked[:top] if threshold is None else [item for item in ranked if item[0] >= threshold]
        if not chosen:
            raise InputError(f"no |score| is {threshold:g} or more; the largest is {ranked[0][0]:g}")
        inside = {edge for _, edge in chosen}
        edges = {edge: replace(mark, in_graph=edge in inside) for edge, mark in self.edges.items()}
        return replace(self, edges=edges, nodes=nodes_of(inside, self.nodes))


def _minus(score: float | None) -> float | None:
    return None if score is None else 0.0 - score


def nodes_of(inside: set[Edge], nodes: Mapping[Node, Mark]) -> dict[Node, Mark]:
    """The nodes with membership by the edges that are inside: a node is where one of them begins or ends."""
    touched = {end for edge in inside for end in (edge.sender, edge.target.node)} | {Logits()}
    return {
        node: Mark(nodes[node].score if node in nodes else None, node in touched)
        for node in dict.fromkeys([*nodes, *sorted(touched, key=str)])
    }


def all_nodes(sizes: Sizes) -> Iterator[Node]:
    """EAP-IG's nodes in its order: input, the heads and the MLP of each layer, logits."""
    yield Input()
    for layer in range(sizes.layers):
        yield from (Head(layer, index) for index in range(sizes.heads))
        yield MLP(layer)
    yield Logits()


def all_edges(sizes: Sizes) -> Iterator[Edge]:
    """EAP-IG's edges in its order: 32,491 for GPT-2 small."""
    written: list[Node] = [Input()]
    for layer in range(sizes.layers):
        heads = [Head(layer, index) for index in range(sizes.heads)]
        mlp = MLP(layer)
        ports = [Address(head, (port,)) for head in heads for port in (Port.Q, Port.K, Port.V)]
        if sizes.parallel:
            yield from (Edge(node, target) for node in written for target in (*ports, Address(mlp)))
            written += [*heads, mlp]
            continue
        yield from (Edge(node, target) for node in written for target in ports)
        written += heads
        yield from (Edge(node, Address(mlp)) for node in written)
        written.append(mlp)
    yield from (Edge(node, Address(Logits())) for node in written)
