"""A comparison matched by group -> a circuit graph with one node for each group, and rows for it. Only to be drawn.

Groups have no nodes in common, so that each gets a stand-in: a head (a neuron, for a node that has no ports) in a layer
that says how far up it stands. What is read from such a graph are its shape, its ids and its groups, never the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuitgraph.comparing.records import Comparison
from circuitgraph.drawing.compared import Name
from circuitgraph.graph.claims import CircuitGraph, Claim, EdgeClaim, Group, NodeClaim, claim_id
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Head, Input, Logits, Neuron, Node, Port, Position, parse_position

BOTTOM, TOP = "input", "logits"


@dataclass(frozen=True)
class Standing:
    """The graph of stand-ins."""

    graph: CircuitGraph
    ids: Mapping[str, str]
    """Key of a matched pair → id of its stand-in; pairs that cannot be drawn are left out."""
    names: Mapping[str, Name]
    """Stand-in → what is written in its box."""


def standing(found: Comparison) -> Standing:
    """One node for each group (or node) that a matched pair names, one claim for each pair that is an edge or a node.

    Pairs of a group with itself, and those that would lead down again, are left out.
    """
    ends = {row.key: (_bare(row.sender), _bare(row.receiver)) for row in found.rows if row.kind in ("edge", "node")}
    names = list(dict.fromkeys(name for pair in ends.values() for name in pair if name is not None))
    level = _levels(names, [(s, r) for s, r in ends.values() if s is not None and r is not None])
    ported = {_bare(row.receiver) for row in found.rows if row.receiver is not None and "<" in row.receiver}
    groups = {group.name: group for run in (found.b, found.a) for group in run.graph.groups}
    nodes = {name: _node(name, level[name], i, name in ported or name in groups) for i, name in enumerate(names)}
    claims: dict[str, Claim] = {}
    for row in found.rows:
        sender, receiver = ends.get(row.key, (None, None))
        if sender is None:
            continue
        at, how = _position(row.sender_position), found.a.graph.by_id[row.ids_a[0]].how
        if receiver is None:
            claims[row.key] = NodeClaim((Address(nodes[sender], (), at),), how, label=row.label)
        elif level[sender] < level[receiver]:
            end = Address(nodes[receiver], _ports(row.receiver), _position(row.receiver_position))
            claims[row.key] = EdgeClaim((Address(nodes[sender], (), at),), (end,), how, label=row.label)
    shape = ModelShape(layers=max(level.values(), default=0) + 2, heads=len(names) + 1, kv_heads=len(names) + 1)
    members = tuple(
        Group(name, (Address(nodes[name]),), label=groups[name].label, note=groups[name].note)
        for name in names
        if name in groups
    )
    graph = CircuitGraph(found.a.graph.name, shape, members, tuple(claims.values()))
    inside = {str(nodes[name]): Name(_inside(name, name in groups, found), name) for name in names}
    return Standing(graph, {key: claim_id(claim) for key, claim in claims.items()}, inside)


def _bare(name: str | None) -> str | None:
    """Without its ports."""
    return None if name is None else name.partition("<")[0]


def _levels(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """How far up each stands: above all that it reads from, as far as that is possible; input below, logits on top."""
    level = dict.fromkeys(names, 1)
    for _ in names:
        for sender, receiver in edges:
            if sender != receiver and sender != TOP and receiver != BOTTOM:
                level[receiver] = min(max(level[receiver], level[sender] + 1), len(names))
    highest = max(level.values(), default=0)
    return level | {name: place for name, place in ((BOTTOM, 0), (TOP, highest + 1)) if name in level}


def _node(name: str, level: int, index: int, ported: bool) -> Node:
    if name == BOTTOM:
        return Input()
    if name == TOP:
        return Logits()
    return Head(level, index) if ported else Neuron(level, index)


def _position(text: str | None) -> Position | None:
    return None if text is None or " + " in text else parse_position(text)


def _ports(receiver: str | None) -> tuple[Port, ...]:
    inner = (receiver or "").partition("<")[2].partition(">")[0]
    return tuple(Port(port) for port in inner.split(",") if port in list(Port))


def _inside(name: str, grouped: bool, found: Comparison) -> str:
    """A node's own name; of a group, how many members it has in A and in B."""
    if not grouped:
        return name
    sizes = [len(group.members) for run in (found.a, found.b) for group in run.graph.groups if group.name == name]
    return f"×{sizes[0]}" if len(set(sizes)) == 1 else " | ".join(f"×{size}" for size in sizes)
