"""Diagram -> Folded: every cluster one box, and one arrow for all edges from one box to one port of another.

Edges that are measured in different ways (by path, base or source) are different arrows: each has its own letter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from circuitgraph.drawing.diagram import Arc, Diagram, Spot
from circuitgraph.drawing.layout import Ports
from circuitgraph.graph.claims import Group

Way = tuple[tuple[str, str], ...]
"""The settings that are not those of most experiments."""


@dataclass(frozen=True)
class Folded:
    """A diagram of boxes that stand for clusters; `diagram.arcs` have no ports, arrows keep theirs in `merged`."""

    diagram: Diagram
    members: Mapping[Spot, tuple[Spot, ...]]
    """Box → the boxes it stands for; its key is the first of them."""
    merged: tuple[tuple[Arc, ...], ...]
    """Of each arrow, the arrows it stands for."""
    inside: Mapping[Spot, tuple[Arc, ...]]
    """Box → the arrows between its members, which are not drawn."""
    group: Mapping[Spot, Group | None]
    patched: Mapping[Spot, tuple[str, ...]]
    """Member → the experiments that patch it by itself."""
    parts: Mapping[tuple[Spot, str], str]
    """Member and experiment → what of it is patched, where it is not its output: `q`, `attn`."""

    def ordered(self, diagram: Diagram) -> Folded:
        """The same with its blocks in another order."""
        return replace(self, diagram=diagram)


def fold(diagram: Diagram) -> Folded:
    """Rows, columns and the order of blocks stay as they are."""
    members = {block.spots[0]: block.spots for row in diagram.rows for block in row}
    box = {spot: first for first, spots in members.items() for spot in spots}
    merged: dict[tuple[Spot, Spot, Ports | None, Way], list[Arc]] = defaultdict(list)
    inside: dict[Spot, list[Arc]] = defaultdict(list)
    for arc in diagram.arcs:
        tail, head = box[arc.tail], box[arc.head]
        if tail == head:
            inside[tail].append(arc)
        else:
            merged[tail, head, arc.ports, tuple(diagram.unusual[arc.id].items())].append(arc)
    arcs = [replace(arcs[0], tail=tail, head=head, ports=None) for (tail, head, *_), arcs in merged.items()]
    rows = tuple(tuple(replace(block, spots=block.spots[:1]) for block in row) for row in diagram.rows)
    experiments: dict[Spot, tuple[str, ...]] = {}
    for first, spots in members.items():
        if ids := dict.fromkeys(id_ for spot in spots for id_ in diagram.experiments.get(spot, ())):
            experiments[first] = tuple(ids)
    return Folded(
        replace(diagram, rows=rows, arcs=tuple(arcs), experiments=experiments, patched_ports={}),
        members,
        tuple(map(tuple, merged.values())),
        {first: tuple(arcs) for first, arcs in inside.items()},
        {block.spots[0]: block.group for row in diagram.rows for block in row},
        diagram.experiments,
        diagram.patched_ports,
    )
