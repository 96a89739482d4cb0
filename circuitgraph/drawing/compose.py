"""CircuitGraph (+ rows) -> Scene: puts layout, curves and colours together, with title, legend and effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING

from circuitgraph.drawing.diagram import diagram
from circuitgraph.drawing.layout import Places, place
from circuitgraph.drawing.legend import legend
from circuitgraph.drawing.marks import LAYER_TEXT, arrows, beside_rows, boxes, clusters, columns, headers, layer_names
from circuitgraph.drawing.notes import notes
from circuitgraph.drawing.order import ordered
from circuitgraph.drawing.routes import routes
from circuitgraph.drawing.scene import Rect, Scene, Text
from circuitgraph.drawing.strongest import Shown, shown
from circuitgraph.drawing.style import INK, SOFT_INK
from circuitgraph.drawing.tags import tags
from circuitgraph.drawing.text import fit, width, wrap
from circuitgraph.graph.claims import CircuitGraph

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

EDGE = 24.0
"""White border around everything."""
NARROWEST = 430.0
POSITION_NAMES = 32.0
TITLE = 17.0
SUBTITLE = 11.5


class Layout(StrEnum):
    """Who decides where things stand: our rows and columns, or Graphviz' dot."""

    LAYERED = "layered"
    DOT = "dot"


def scene(
    graph: CircuitGraph,
    rows: Sequence[Row] | None = None,
    *,
    title: str | None = None,
    layout: Layout = Layout.LAYERED,
    positions: Sequence[str] | None = None,
) -> Scene:
    """The picture of a hypothesis, or of a finding where there are rows. Lengths are points.

    `positions` are the names of positions in the order of the prompt: the order of the columns.

    Of very many edges the strongest are drawn: see `strongest`.

    Raises:
        InputError: a row belongs to no claim of the graph, or there is too much to draw.
        NotFiniteError: an effect is NaN or infinite.
    """
    part = shown(graph, rows)
    graph, found = part.graph, part.found
    drawn = ordered(diagram(graph, positions or ()))
    names = layer_names(drawn) if layout is Layout.LAYERED else []
    margin = max([width(name, LAYER_TEXT) + 18 for name in names if name], default=0.0)
    match layout:
        case Layout.LAYERED:
            placed = place(drawn, NARROWEST - 2 * EDGE - margin)
            curves = routes(drawn, placed)
        case Layout.DOT:
            from circuitgraph.drawing.dot import dot_layout

            placed, curves = dot_layout(drawn)
    xs = [x for curve in curves for x, _ in curve]
    left, right = min([0.0, *xs]), max([placed.width, *xs])
    drawing = margin + right - left
    heading = _heading(graph, title, part.note, max(drawing, NARROWEST - 2 * EDGE))
    texts = max(width(text.text, text.size, bold=text.bold) for text in heading)
    inner = max(drawing, texts, NARROWEST - 2 * EDGE)
    dx, dy = EDGE + margin - left, heading[-1].y + 28
    placed = _moved(placed, dx, dy)
    moved = [tuple((x + dx, y + dy) for x, y in curve) for curve in curves]
    bands = columns(drawn, placed)
    lowest = dy + placed.height + (POSITION_NAMES if bands else 8)
    key, bottom = legend(graph, found, Rect(EDGE, lowest + 16, inner, 0))
    lines, nodes, names_of_groups = arrows(drawn, moved, found), boxes(drawn, placed, found), headers(placed)
    letters = tags(lines, nodes, names_of_groups)
    solid = [*placed.blocks.values(), *(letter.rect for letter in letters)]
    area = Rect(EDGE + margin, dy, drawing - margin, placed.height)
    return Scene(
        width=math.ceil(inner + 2 * EDGE),
        height=math.ceil(bottom + EDGE),
        title=heading[0].text,
        description=_description(part),
        columns=bands,
        clusters=clusters(placed),
        arrows=lines,
        headers=names_of_groups,
        boxes=nodes,
        tags=letters,
        notes=notes(lines, solid, found, area),
        texts=(*heading, *beside_rows(names, placed, EDGE)),
        legend=key,
    )


def _heading(graph: CircuitGraph, title: str | None, note: str | None, limit: float) -> list[Text]:
    """Title and description, and which part of the graph is drawn."""
    lines = [Text(EDGE, EDGE + 14, fit(title or graph.name, TITLE, limit, bold=True), TITLE, INK, bold=True)]
    said = [wrap(text, SUBTITLE, limit, lines=3) for text in (graph.description or "", _capital(note or ""))]
    for line in chain(*said):
        lines.append(Text(EDGE, lines[-1].y + (19 if len(lines) == 1 else 15), line, SUBTITLE, SOFT_INK))
    return lines


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _description(part: Shown) -> str:
    graph = part.graph
    arcs = sum(1 for _ in graph.arcs())
    what = "measured effects" if part.found.rows else "a hypothesis, not measured"
    of_all = f"; {part.note}" if part.note else ""
    sentence = f"Circuit graph of {graph.name}: {len(graph.nodes)} nodes, {arcs} arrows; {what}{of_all}."
    return f"{sentence} {graph.description}" if graph.description else sentence


def _moved(placed: Places, dx: float, dy: float) -> Places:
    def move(rect: Rect) -> Rect:
        return replace(rect, x=rect.x + dx, y=rect.y + dy)

    return replace(
        placed,
        blocks={block: move(rect) for block, rect in placed.blocks.items()},
        boxes={spot: move(rect) for spot, rect in placed.boxes.items()},
        badges={key: move(rect) for key, rect in placed.badges.items()},
        rows=tuple((top + dy, bottom + dy) for top, bottom in placed.rows),
        columns=tuple(map(move, placed.columns)),
    )
