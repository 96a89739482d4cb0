"""Graphviz: Scene -> DOT text, and Diagram -> Places and curves by its `dot` program."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from circuitgraph.drawing.diagram import Block, Diagram, Spot
from circuitgraph.drawing.layout import HEADER_TEXT, Places, badges_in, block_shape, box_sizes, fans
from circuitgraph.drawing.process import graphviz
from circuitgraph.drawing.scene import Dash, Point, Rect, Scene
from circuitgraph.drawing.style import LINE
from circuitgraph.drawing.text import FONT, each_line, width
from circuitgraph.errors import InputError

MOST_EDGES = 500
"""dot takes seconds at 1,000 edges and minutes at 3,000."""
INCH = 72.0
LONGEST = 2000
"""Characters of a text; Graphviz reads 16,384 bytes, and a character may take four, an escape two."""
Sizes = Mapping[Spot, tuple[float, float]]
_PLAIN = re.compile(r"[\w.@+<>,-]+")


def dot(scene: Scene) -> str:
    """DOT text with the scene's positions pinned: `neato -n` keeps them, `dot` lays it out anew."""
    import graphviz as library

    document = library.Digraph(
        "circuit",
        graph_attr={
            "rankdir": "BT",
            "label": _text(scene.title),
            "labelloc": "t",
            "fontname": FONT,
        },
        node_attr={"shape": "box", "style": "rounded,filled", "fontname": FONT, "fontsize": "11", "fixedsize": "true"},
        edge_attr={"fontname": FONT, "fontsize": "8.5", "arrowsize": "0.6"},
    )
    names = {box.key: box.key if _PLAIN.fullmatch(box.key) else f"n{i}" for i, box in enumerate(scene.boxes)}
    inside = {box.key: i for i, c in enumerate(scene.clusters) for box in scene.boxes if c.rect.holds(box.panel.rect)}
    for i, header in enumerate(scene.headers):
        title = "\n".join(text.text for text in header.texts)
        cluster = library.Digraph(f"cluster_{i}")
        cluster.attr(label=_text(title), style="rounded,filled", fillcolor=header.fill or "", color=LINE)
        for box in scene.boxes:
            if inside.get(box.key) == i:
                cluster.node(names[box.key])
        document.subgraph(cluster)
    for box in scene.boxes:
        rect, border = box.panel.rect, box.panel.border
        document.node(
            names[box.key],
            label=_text("\n".join(text.text for text in box.panel.texts)),
            tooltip=_text(box.panel.tooltip or ""),
            pos=f"{rect.center:.2f},{scene.height - rect.y - rect.height / 2:.2f}!",
            width=f"{rect.width / INCH:.4f}",
            height=f"{rect.height / INCH:.4f}",
            fillcolor=box.panel.fill or "",
            color=border.color if border else "",
            xlabel=", ".join(box.unusual),
        )
    for arrow in scene.arrows:
        document.edge(
            names[arrow.tail],
            names[arrow.head],
            id=arrow.id,
            headlabel=arrow.port,
            taillabel=", ".join(arrow.unusual),
            tooltip=_text(arrow.tooltip),
            color=f"{arrow.stroke.color}{round(255 * arrow.stroke.opacity):02x}",
            penwidth=f"{arrow.stroke.width:.2f}",
            style="solid" if arrow.stroke.dash is Dash.SOLID else arrow.stroke.dash.value,
        )
    return document.source


def _text(text: str) -> str:
    """Text that DOT can hold in quotes: escaped, and cut where Graphviz would not read it to its end."""
    from graphviz import escape

    text = each_line(text)
    return escape(text if len(text) <= LONGEST else text[:LONGEST] + "…")


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
    labels = {spot: str(spot) for block in blocks for spot in block.spots}
    sizes = box_sizes(diagram, labels)
    names = {spot: f"n{i}" for i, spot in enumerate(sizes)}
    laid = json.loads(graphviz("dot", "json", dot=_bare(diagram, blocks, sizes, names), attributes={}))
    left, bottom, right, top = _numbers(laid["bb"])
    found = {item["name"]: item for item in laid["objects"]}
    boxes: dict[Spot, Rect] = {}
    for spot, name in names.items():
        (x, y), (wide, tall) = _numbers(found[name]["pos"]), sizes[spot]
        boxes[spot] = Rect(x - left - wide / 2, top - y - tall / 2, wide, tall)
    outlines: dict[Block, Rect] = {}
    for i, block in enumerate(blocks):
        if block.group is None:
            outlines[block] = boxes[block.spots[0]]
        else:
            x0, y0, x1, y1 = _numbers(found[f"cluster_{i}"]["bb"])
            outlines[block] = Rect(x0 - left, top - y1, x1 - x0, y1 - y0)
    count = fans(diagram.arcs)
    badges = {(s, ports): rect for s, box in boxes.items() for ports, rect in badges_in(s, box, count)}
    ways = {int(edge["id"]): edge["pos"] for edge in laid.get("edges", ())}
    curves = []
    for i, arc in enumerate(diagram.arcs):
        end, *points = [_numbers(point) for point in ways[i].removeprefix("e,").split()]
        x, y = end[0] - left, top - end[1]
        if arc.ports is not None:
            x, y = badges[arc.head, arc.ports].center, badges[arc.head, arc.ports].bottom
        curves.append(_ending_at([(p[0] - left, top - p[1]) for p in points], (x, y)))
    shapes = {block: block_shape(block, diagram.arcs, sizes) for block in blocks}
    return Places(right - left, top - bottom, outlines, shapes, boxes, labels, badges, (), ()), curves


def _bare(diagram: Diagram, blocks: Sequence[Block], sizes: Sizes, names: Mapping[Spot, str]) -> str:
    """DOT text of sizes and connections alone; a cluster's name is stood in for by as wide a row of letters."""
    lines = [
        f"digraph {{ compound=true rankdir=BT nodesep=0.3 ranksep=1.0 fontsize={HEADER_TEXT}",
        'node [shape=box fixedsize=true label=""] edge [headport=s tailport=n]',
    ]
    for i, block in enumerate(blocks):
        inside = [
            f"{names[spot]} [width={sizes[spot][0] / INCH:.4f} height={sizes[spot][1] / INCH:.4f}]"
            for spot in block.spots
        ]
        if block.group:
            header = block_shape(block, diagram.arcs, sizes).header
            wide = max((width(line, HEADER_TEXT, bold=True) for line in header), default=0.0)
            label = "\\n".join(["m" * round(wide / width("m", HEADER_TEXT))] * len(header))
            inside = [f'subgraph cluster_{i} {{ label="{label}" labelloc=b', *inside, "}"]
        lines += inside
    home = {spot: i for i, block in enumerate(blocks) if block.group for spot in block.spots}
    for i, arc in enumerate(diagram.arcs):
        cluster = home.get(arc.tail)
        leaving = "" if cluster is None or cluster == home.get(arc.head) else f" ltail=cluster_{cluster}"
        lines.append(f"{names[arc.tail]} -> {names[arc.head]} [id={i}{leaving}]")
    return "\n".join([*lines, "}"])


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _ending_at(curve: list[Point], end: Point) -> tuple[Point, ...]:
    """The curve with its last point at `end`, which it reaches from below."""
    *body, bend, _ = curve
    return (*body, (end[0], max(bend[1], end[1] + 12)), end)
