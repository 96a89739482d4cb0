"""Aim -> Drops: the circuit without each of its edges, nodes and groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from circuitgraph.evaluation.aim import Aim, Part, Parts, part_name
from circuitgraph.graph.partition import PartitionEdge, Positions, partition_nodes
from circuitgraph.nodes import Address, KVHead, Logits, Node, is_part
from circuitgraph.results.evaluated import DropKind


@dataclass(frozen=True, slots=True)
class Drop:
    """A circuit without one edge, node or group. `count`: how many parts that took away or lessened."""

    kind: DropKind
    name: str
    count: int
    rest: Parts


def drops_of(aim: Aim) -> tuple[Drop, ...]:
    """Each edge (`of: edges` alone), each node, each group.

    A node takes with it all edges that it sends or receives; `logits`, where all ways end, is not dropped. A group
    takes the edges that a member sends or receives, of a member with ports those that enter there, of a member at a
    position those at that position. What is everywhere is dropped whole.
    Nodes and groups that no part belongs to are left out.
    """
    parts = (_drop(aim, _kind(part), part_name(part, at), [part]) for part, at in aim.circuit.items())
    nodes = (_drop(aim, DropKind.NODE, str(node), _touching(aim, node)) for node in _nodes(aim))
    groups = (_group(aim, name, members) for name, members in ((g.name, g.members) for g in aim.groups))
    found = [*parts, *(nodes if any(isinstance(part, PartitionEdge) for part in aim.circuit) else ()), *groups]
    return tuple(drop for drop in found if drop.count)


def _kind(part: Part) -> DropKind:
    return DropKind.EDGE if isinstance(part, PartitionEdge) else DropKind.NODE


def _drop(aim: Aim, kind: DropKind, name: str, dropped: list[Part]) -> Drop:
    rest = {part: at for part, at in aim.circuit.items() if part not in dropped}
    return Drop(kind, name, len(aim.circuit) - len(rest), rest)


def _nodes(aim: Aim) -> Iterator[Node]:
    """Every node that may be an end of an edge, but `logits`."""
    yield from partition_nodes(aim.shape)
    if aim.shape.grouped:
        layers, heads = range(aim.shape.layers), range(aim.shape.kv_heads)
        yield from (KVHead(layer, index) for layer in layers for index in heads)


def _touching(aim: Aim, node: Node) -> list[Part]:
    return [part for part in aim.circuit if isinstance(part, PartitionEdge) and node in (part.sender, part.receiver)]


def _group(aim: Aim, name: str, members: tuple[Address, ...]) -> Drop:
    rest: dict[Part, Positions] = {}
    count = 0
    for part, positions in aim.circuit.items():
        left: Positions | None = positions
        for member in members:
            if left is not None and _belongs(part, member):
                left = _without(left, member)
        if left is not None:
            rest[part] = left
        count += left != positions
    return Drop(DropKind.GROUP, name, count, rest)


def _belongs(part: Part, member: Address) -> bool:
    """Whether a group's member is a part, or stands at an end of it."""
    if not isinstance(part, PartitionEdge):
        return _same(part, member.node)
    receives = not isinstance(part.receiver, Logits) and _same(part.receiver, member.node)
    if member.ports:
        return receives and part.port in member.ports
    return receives or _same(part.sender, member.node)


def _same(node: Node, member: Node) -> bool:
    return node == member or is_part(node, member)


def _without(positions: Positions, member: Address) -> Positions | None:
    """What is left of the positions without the member's; None = nothing."""
    if member.position is None or not positions:
        return None
    return tuple(at for at in positions if at != member.position) or None
