"""`acdc`: Automatic Circuit DisCovery, algorithm 1 of Conmy et al. 2023 (arXiv 2304.14997). Pure.

    H ← all edges
    for each receiver v, from the logits to the input:
        for each sender w of v:
            H_new ← H without w → v
            if D(H_new) − D(H) < τ:  H ← H_new

A removed edge carries its sender's source write: H is the circuit alone (`plans.circuits.only`). With the metric `kl`,
D(H) is the mean of KL(base ‖ H), as in the paper; with another metric m it is |mean m(H) − mean m(base)|. As
KL(base ‖ base) is 0, the second formula holds for both, and D(all edges) = 0.

The order decides what is found, where edges stand in for each other. It is that of ACDC's code
(`TLACDCCorrespondence.setup_from_model`, names and indexes in "normal" mode): receivers from the last layer to
the first, in a layer the MLP, then heads from the last to the first, of a head q, k, v; senders from the last layer
to the input, in a layer the MLP, then heads from the last to the first. Shared keys and values (grouped-query
attention, which ACDC's code does not have) come after the queries of their layer.

A receiver none of whose outputs is left leads nowhere: its edges change nothing, and go without a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from circuitgraph.graph.partition import PartitionEdge, partition_nodes, partition_targets
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import ALL_PORTS, MLP, Address, Head, KVHead, Logits, Node

Removed = Mapping[Address, tuple[Node, ...]]
"""Receiver (with its port) → the senders whose edges to it are removed."""
Distance = Callable[[Removed], float]
"""D of the graph without these edges."""


@dataclass(frozen=True, slots=True)
class Step:
    """One edge when its turn came. `change` = D(H_new) − D(H); None if nothing was run."""

    edge: PartitionEdge
    change: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was done with every edge, in the order of the search, and D of what is left."""

    steps: tuple[Step, ...]
    distance: float
    runs: int


def receivers_in_order(shape: ModelShape) -> tuple[Address, ...]:
    """The receivers, output first."""
    return tuple(sorted(partition_targets(shape), key=_from_the_end))


def _from_the_end(target: Address) -> tuple[int, ...]:
    match target.node:
        case Logits():
            return (0,)
        case MLP(layer):
            return (1, -layer, 0)
        case Head(layer, index):
            return (1, -layer, 1, -index, ALL_PORTS.index(target.ports[0]))
        case KVHead(layer, index):
            return (1, -layer, 2, -index, ALL_PORTS.index(target.ports[0]))
        case node:
            raise ValueError(f"{node} is no receiver of the finest partition")


def senders_in_order(shape: ModelShape) -> tuple[Node, ...]:
    """The senders, last first."""
    return tuple(reversed(partition_nodes(shape)))


def prune(
    shape: ModelShape,
    distance: Distance,
    threshold: float,
    progress: Callable[[int], None] = lambda _done: None,
) -> Pruned:
    """Run the search.

    Args:
        distance: called once for each edge that still leads to the logits.
        threshold: τ, in the units of D.
        progress: called with the number of edges that were decided since the last call.
    """
    removed: dict[Address, tuple[Node, ...]] = {}
    heard: set[Node] = set()  # senders that have an edge left; what they lead to leads to the logits
    steps: list[Step] = []
    now, runs = 0.0, 0
    for target in receivers_in_order(shape):
        leads = isinstance(target.node, Logits) or not heard.isdisjoint(_speakers(target.node, shape))
        for sender in senders_in_order(shape):
            if not shape.can_reach(sender, target.node):
                continue
            without = {**removed, target: (*removed.get(target, ()), sender)}
            change, kept = None, False
            if leads:
                then, runs = distance(without), runs + 1
                change, kept = then - now, not then - now < threshold
                now = now if kept else then
            if kept:
                heard.add(sender)
            else:
                removed = without
            edge = PartitionEdge(sender, target.node, target.ports[0] if target.ports else None)
            steps.append(Step(edge, change, kept))
            progress(1)
    return Pruned(tuple(steps), now, runs)


def _speakers(node: Node, shape: ModelShape) -> tuple[Node, ...]:
    """Whose writes a receiver decides: its own, or those of the query heads that share it."""
    if not isinstance(node, KVHead):
        return (node,)
    group = shape.heads // shape.kv_heads
    return tuple(Head(node.layer, node.index * group + i) for i in range(group))
