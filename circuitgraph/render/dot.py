"""Graphviz: Scene -> DOT text, and Diagram -> Places and curves by its `dot` program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitgraph.errors import InputError
from circuitgraph.render.diagram import Block, Diagram, Spot
from circuitgraph.render.layout import HEADER_TEXT, Places, badges_in, block_shape, box_sizes
from circuitgraph.render.scene import Dash, Point, Rect, Scene
from circuitgraph.render.text import FONT

if TYPE_CHECKING:
    import pygraphviz

MOST_EDGES = 500
"""dot takes seconds at 1,000 edges and minutes at 3,000."""
INCH = 72.0
_PLAIN = re.compile(r"[\w.@+<>,-]+")


def dot(scene: Scene) -> str:
    """DOT text with the scene's positions pinned: `neato -n` keeps them, `dot` lays it out anew."""
    import graphviz

    document = graphviz.Digraph(
        "circuit",
        graph_attr={"rankdir": "BT", "label": graphviz.escape(scene.title), "labelloc": "t", "fontname": FONT},
        node_attr={"shape": "box", "style": "rounded,filled", "fontname": FONT, "fontsize": "11", "fixedsize": "true"},
        edge_attr={"fontname": FONT, "fontsize": "8.5", "arrowsize": "0.6"},
    )
    names = {box.key: box.key if _PLAIN.fullmatch(box.key) else f"n{i}" for i, box in enumerate(scene.boxes)}
    inside = {box.key: i for i, c in enumerate(scene.clusters) for box in scene.boxes if _holds(c.rect, box.panel.rect)}
    for i, header in enumerate(scene.headers):
        with document.subgraph(name=f"cluster_{i}") as cluster:
            title = "\n".join(text.text for text in header.texts)
            cluster.attr(label=graphviz.escape(title), style="rounded,filled", fillcolor=header.fill, color="#b4bfcc")
            for box in scene.boxes:
                if inside.get(box.key) == i:
                    cluster.node(names[box.key])
    for box in scene.boxes:
        rect, border = box.panel.rect, box.panel.border
        document.node(
            names[box.key],
            label=graphviz.escape("\n".join(text.text for text in box.panel.texts)),
            tooltip=graphviz.escape(box.panel.tooltip or ""),
            pos=f"{rect.center:.2f},{scene.height - rect.y - rect.height / 2:.2f}!",
            width=f"{rect.width / INCH:.4f}",
            height=f"{rect.height / INCH:.4f}",
            fillcolor=box.panel.fill,
            color=border.color if border else "",
        )
    for arrow in scene.arrows:
        document.edge(
            names[arrow.tail],
            names[arrow.head],
            id=arrow.id,
            headlabel=arrow.port,
            tooltip=graphviz.escape(arrow.tooltip),
            color=f"{arrow.stroke.color}{round(255 * arrow.stroke.opacity):02x}",
            penwidth=f"{arrow.stroke.width:.2f}",
            style="solid" if arrow.stroke.dash is Dash.SOLID else arrow.stroke.dash.value,
        )
    return document.source


def _holds(outer: Rect, inner: Rect) -> bool:
    return outer.contains((inner.x, inner.y)) and outer.contains((inner.right, inner.bottom))


def dot_layout(diagram: Diagram) -> tuple[Places, list[tuple[Point, ...]]]:
    """Places and curves as `dot` chooses them; rows and columns are empty.

    Raises:
        InputError: more than MOST_EDGES arrows.
    """
    if len(diagram.arcs) > MOST_EDGES:
        raise InputError(
            f"{len(diagram.arcs)} arrows are too many for the layout 'dot', which takes up to {MOST_EDGES}; "
            "use 'layered'"
        )
    blocks = [block for row in diagram.rows for block in row]
    sizes = box_sizes(diagram)
    names = {spot: f"n{i}" for i, spot in enumerate(sizes)}
    graph = _laid_out(diagram, blocks, sizes, names)
    left, bottom, right, top = _numbers(graph.graph_attr["bb"])
    boxes = {}
    for spot, name in names.items():
        x, y = _numbers(graph.get_node(name).attr["pos"])
        wide, tall = sizes[spot]
        boxes[spot] = Rect(x - left - wide / 2, top - y - tall / 2, wide, tall)
    outlines: dict[Block, Rect] = {}
    for i, block in enumerate(blocks):
        if block.group is None:
            outlines[block] = boxes[block.spots[0]]
        else:
            x0, y0, x1, y1 = _numbers(graph.get_subgraph(f"cluster_{i}").graph_attr["bb"])
            outlines[block] = Rect(x0 - left, top - y1, x1 - x0, y1 - y0)
    badges = {(s, ports): rect for s, box in boxes.items() for ports, rect in badges_in(s, box, diagram.arcs)}
    curves = []
    for i, arc in enumerate(diagram.arcs):
        end, *points = (
            graph.get_edge(names[arc.tail], names[arc.head], key=str(i)).attr["pos"].removeprefix("e,").split()
        )
        curve = [(x - left, top - y) for x, y in map(_numbers, points)]
        tip = badges[arc.head, arc.ports] if arc.ports is not None else None
        x, y = _numbers(end)
        curves.append(_ending_at(curve, (tip.center, tip.bottom) if tip else (x - left, top - y)))
    shapes = {block: block_shape(block, diagram.arcs, sizes) for block in blocks}
    return Places(right - left, top - bottom, outlines, shapes, boxes, badges, (), ()), curves


def _laid_out(
    diagram: Diagram, blocks: Sequence[Block], sizes: dict[Spot, tuple[float, float]], names: dict[Spot, str]
) -> pygraphviz.AGraph:
    import pygraphviz

    graph = pygraphviz.AGraph(directed=True, strict=False)
    graph.graph_attr.update(rankdir="BT", nodesep="0.3", ranksep="0.6", fontsize=f"{HEADER_TEXT}")
    graph.node_attr.update(shape="box", fixedsize="true", label="")
    for spot, (wide, tall) in sizes.items():
        graph.add_node(names[spot], width=f"{wide / INCH:.4f}", height=f"{tall / INCH:.4f}")
    for i, block in enumerate(blocks):
        if block.group:
            header = "M" * max(1, round(block_shape(block, diagram.arcs, sizes).width / HEADER_TEXT * 0.9))
            lines = "\n".join([header] * len(block_shape(block, diagram.arcs, sizes).header))
            graph.add_subgraph([names[spot] for spot in block.spots], name=f"cluster_{i}", label=lines)
    for i, arc in enumerate(diagram.arcs):
        graph.add_edge(names[arc.tail], names[arc.head], key=str(i), headport="s", tailport="n")
    graph.layout(prog="dot")
    return graph


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _ending_at(curve: list[Point], end: Point) -> tuple[Point, ...]:
    """The curve with its last point at `end`, which it reaches from below."""
    *body, bend, _ = curve
    return (*body, (end[0], max(bend[1], end[1] + 12)), end)
