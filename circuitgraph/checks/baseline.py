"""Random edges of the same kind as each hypothesised one: what a claim is compared with. Pure, seeded.

Of the same kind: the same kinds of nodes, the same ports and positions, the same path, base and source. Left
out are hypothesised edges, edges that run backwards, and edges that are zero by construction or by the prompts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from circuitgraph.checks.checked import Checked
from circuitgraph.checks.movement import Movement, Verdict
from circuitgraph.checks.needs import metric_positions
from circuitgraph.checks.places import Places
from circuitgraph.graph.claims import EdgeClaim, claim_id
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Node,
    NodePattern,
    Residual,
    SaeError,
)

MOST_LISTED = 100_000
"""Kinds with more edges than this are drawn from, not listed."""
TRIES = 1000
"""Draws per wanted edge, where edges are drawn."""


def random_edges(checked: Checked, count: int, seed: int) -> Mapping[str, tuple[EdgeClaim, ...]]:
    """Experiment id of each hypothesised single edge → at most `count` random edges of its kind.

    Joined edges, chains, sets and nodes have none.
    """
    readers = tuple(position for _, position in metric_positions(checked.spec))
    movement = Movement(checked.shape, Places(checked.prompts), readers, checked.prompts)
    taken = {claim_id(edge) for edge in checked.graph.edges}
    kinds: dict[EdgeClaim, tuple[EdgeClaim, ...]] = {}
    found: dict[str, tuple[EdgeClaim, ...]] = {}
    for edge in checked.graph.edges:
        if len(edge.senders) > 1 or len(edge.receivers) > 1:
            continue
        kind = _kind(edge)
        if kind not in kinds:
            kinds[kind] = tuple(_fitting(kind, checked.shape, movement, taken, count, seed))
        found[claim_id(edge)] = kinds[kind]
    return found


def _kind(edge: EdgeClaim) -> EdgeClaim:
    """The edge with the first node of each kind in place of its own, and without labels."""
    (sender,), (receiver,) = edge.senders, edge.receivers
    return EdgeClaim((_first(sender),), (_first(receiver),), edge.how)


def _first(address: Address) -> Address:
    match address.node:
        case Head() | KVHead() | Neuron() as node:
            return replace(address, node=type(node)(0, 0))
        case Attention() | MLP() as node:
            return replace(address, node=type(node)(0))
        case Residual(_, mid):
            return replace(address, node=Residual(1, mid))
        case Feature(sae):
            return replace(address, node=Feature(sae, 0))
        case Input() | Logits() | SaeError():
            return address


def _fitting(
    kind: EdgeClaim, shape: ModelShape, movement: Movement, taken: set[str], count: int, seed: int
) -> Iterator[EdgeClaim]:
    """At most `count` different edges of a kind, in random order."""
    draw = random.Random(f"{seed} {claim_id(kind)}")  # noqa: S311 (no secrets)
    (sender,), (receiver,) = kind.senders, kind.receivers
    pairs = _pairs(_all_like(sender.node, shape), _all_like(receiver.node, shape), shape, draw, TRIES * count)
    seen: set[str] = set()
    for s, r in pairs:
        edge = replace(kind, senders=(replace(sender, node=s),), receivers=(replace(receiver, node=r),))
        name = claim_id(edge)
        if name not in taken and name not in seen and not _is_zero(movement, edge):
            seen.add(name)
            yield edge
        if len(seen) == count:
            return


def _pairs(
    senders: Sequence[Node], receivers: Sequence[Node], shape: ModelShape, draw: random.Random, tries: int
) -> Iterator[tuple[Node, Node]]:
    """Pairs that the residual stream connects: all of them, shuffled; of very many, some drawn with replacement."""
    if len(senders) * len(receivers) <= MOST_LISTED:
        pairs = [(s, r) for s in senders for r in receivers if shape.can_reach(s, r)]
        draw.shuffle(pairs)
        yield from pairs
        return
    for _ in range(tries):
        s, r = draw.choice(senders), draw.choice(receivers)
        if shape.can_reach(s, r):
            yield s, r


def _all_like(node: Node, shape: ModelShape) -> tuple[Node, ...]:
    """Every node of a node's kind."""
    match node:
        case Input() | Logits() | SaeError():
            return (node,)
        case Feature(sae):
            return tuple(Feature(sae, index) for index in range(sae.width or 0))
        case Head():
            kind = "h"
        case KVHead():
            kind = "kv"
        case Neuron():
            kind = "n"
        case MLP():
            kind = "m"
        case Attention():
            kind = "a"
        case Residual(mid=mid):
            kind = "mid" if mid else "r"
    return tuple(found for found in shape.expand(NodePattern(kind, None, None)) if type(found) is type(node))


def _is_zero(movement: Movement, edge: EdgeClaim) -> bool:
    return any(remark.verdict in (Verdict.ZERO, Verdict.UNCHANGED) for remark in movement.remarks(edge))
