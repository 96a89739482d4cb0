"""CircuitGraph (+ rows) -> Scene: puts layout, curves and colours together, with title, legend and effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from circuitgraph.drawing.diagram import diagram
from circuitgraph.drawing.frame import EDGE, NARROWEST, described, framed, margin_for, said_of
from circuitgraph.drawing.layout import place
from circuitgraph.drawing.legend import legend
from circuitgraph.drawing.marks import arrows, beside_rows, boxes, clusters, columns, headers, layer_names
from circuitgraph.drawing.notes import notes
from circuitgraph.drawing.order import ordered
from circuitgraph.drawing.routes import routes
from circuitgraph.drawing.scene import Rect, Scene
from circuitgraph.drawing.strongest import shown
from circuitgraph.drawing.tags import tags
from circuitgraph.graph.claims import CircuitGraph

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

POSITION_NAMES = 32.0


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

    Where things stand depends on the graph and the positions alone, never on what was measured; of very many edges
    the strongest are drawn: see `strongest`.

    `positions` are the names of positions in the order of the prompt: the order of the columns.

    Raises:
        InputError: a row belongs to no claim of the graph, or there is too much to draw.
        NotFiniteError: an effect is NaN or infinite.
    """
    part = shown(graph, rows)
    graph, found = part.graph, part.found
    drawn = ordered(diagram(graph, positions or ()))
    names = layer_names(drawn) if layout is Layout.LAYERED else []
    margin = margin_for(names)
    match layout:
        case Layout.LAYERED:
            placed = place(drawn, NARROWEST - 2 * EDGE - margin)
            curves = routes(drawn, placed)
        case Layout.DOT:
            from circuitgraph.drawing.dot import dot_layout

            placed, curves = dot_layout(drawn)
    frame = framed(placed, curves, [said_of(part, title)], margin)
    (heading,) = frame.headings
    placed = frame.placed
    bands = columns(drawn, placed)
    lowest = frame.area.bottom + (POSITION_NAMES if bands else 8)
    key, bottom = legend(graph, found, Rect(EDGE, lowest + 16, frame.inner, 0))
    lines, nodes, names_of_groups = arrows(drawn, frame.curves, found), boxes(drawn, placed, found), headers(placed)
    letters = tags(lines, nodes, names_of_groups)
    solid = [*placed.blocks.values(), *(letter.rect for letter in letters)]
    return Scene(
        width=math.ceil(frame.inner + 2 * EDGE),
        height=math.ceil(bottom + EDGE),
        title=heading[0].text,
        description=described(part),
        columns=bands,
        clusters=clusters(placed),
        arrows=lines,
        headers=names_of_groups,
        boxes=nodes,
        tags=letters,
        notes=notes(lines, solid, found, frame.area),
        texts=(*heading, *beside_rows(names, placed, EDGE)),
        legend=key,
    )
