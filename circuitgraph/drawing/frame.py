"""Places + curves -> the same inside a picture: below the heading, beside the names of the layers, above the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from circuitgraph.drawing.curves import Curve
from circuitgraph.drawing.layout import Places
from circuitgraph.drawing.marks import LAYER_TEXT
from circuitgraph.drawing.scene import Rect, Text
from circuitgraph.drawing.strongest import Shown
from circuitgraph.drawing.style import INK, SOFT_INK
from circuitgraph.drawing.text import fit, width, wrap

EDGE = 24.0
"""White border around everything."""
NARROWEST = 430.0
TITLE = 17.0
SUBTITLE = 11.5


@dataclass(frozen=True)
class Frame:
    """Everything at its final place. `inner` is the width without the white border."""

    placed: Places
    curves: list[Curve]
    heading: tuple[Text, ...]
    inner: float
    area: Rect
    """Where boxes and arrows are."""


def margin_for(names: Sequence[str]) -> float:
    """The room beside the rows that the names of the layers need."""
    return max([width(name, LAYER_TEXT) + 18 for name in names if name], default=0.0)


def framed(placed: Places, curves: Sequence[Curve], part: Shown, title: str | None, margin: float) -> Frame:
    """Put a drawing below its title and the description of its graph."""
    xs = [x for curve in curves for x, _ in curve]
    left, right = min([0.0, *xs]), max([placed.width, *xs])
    drawing = margin + right - left
    heading = _heading(part, title, max(drawing, NARROWEST - 2 * EDGE))
    texts = max(width(text.text, text.size, bold=text.bold) for text in heading)
    dx, dy = EDGE + margin - left, heading[-1].y + 28
    return Frame(
        moved_places(placed, dx, dy),
        [tuple((x + dx, y + dy) for x, y in curve) for curve in curves],
        tuple(heading),
        max(drawing, texts, NARROWEST - 2 * EDGE),
        Rect(EDGE + margin, dy, drawing - margin, placed.height),
    )


def described(part: Shown) -> str:
    """What the picture shows, for those who cannot see it."""
    graph = part.graph
    arcs = sum(1 for _ in graph.arcs())
    what = "measured effects" if part.found.rows else "a hypothesis, not measured"
    of_all = f"; {part.note}" if part.note else ""
    sentence = f"Circuit graph of {graph.name}: {len(graph.nodes)} nodes, {arcs} arrows; {what}{of_all}."
    return f"{sentence} {graph.description}" if graph.description else sentence


def _heading(part: Shown, title: str | None, limit: float) -> list[Text]:
    """Title and description, and which part of the graph is drawn."""
    graph, note = part.graph, part.note or ""
    lines = [Text(EDGE, EDGE + 14, fit(title or graph.name, TITLE, limit, bold=True), TITLE, INK, bold=True)]
    said = [wrap(text, SUBTITLE, limit, lines=3) for text in (graph.description or "", note[:1].upper() + note[1:])]
    for line in chain(*said):
        lines.append(Text(EDGE, lines[-1].y + (19 if len(lines) == 1 else 15), line, SUBTITLE, SOFT_INK))
    return lines


def moved_places(placed: Places, dx: float, dy: float) -> Places:
    """The same places, further right and down."""

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
