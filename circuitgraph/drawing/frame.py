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
    headings: tuple[tuple[Text, ...], ...]
    """Of each of the pictures that have these places, all of which leave the room of the tallest."""
    inner: float
    area: Rect
    """Where boxes and arrows are."""


def margin_for(names: Sequence[str]) -> float:
    """The room beside the rows that the names of the layers need."""
    return max([width(name, LAYER_TEXT) + 18 for name in names if name], default=0.0)


@dataclass(frozen=True)
class Said:
    """A title, and the paragraphs under it."""

    title: str
    paragraphs: Sequence[str]


def framed(placed: Places, curves: Sequence[Curve], said: Sequence[Said], margin: float) -> Frame:
    """Put a drawing below its heading, or the pictures that share its places below theirs."""
    xs = [x for curve in curves for x, _ in curve]
    left, right = min([0.0, *xs]), max([placed.width, *xs])
    drawing = margin + right - left
    headings = tuple(_heading(each, max(drawing, NARROWEST - 2 * EDGE)) for each in said)
    texts = max(width(text.text, text.size, bold=text.bold) for heading in headings for text in heading)
    dx, dy = EDGE + margin - left, max(heading[-1].y for heading in headings) + 28
    return Frame(
        _moved(placed, dx, dy),
        [tuple((x + dx, y + dy) for x, y in curve) for curve in curves],
        headings,
        max(drawing, texts, NARROWEST - 2 * EDGE),
        Rect(EDGE + margin, dy, drawing - margin, placed.height),
    )


def said_of(part: Shown, title: str | None) -> Said:
    """Title and description of a graph, and which part of it is drawn."""
    note = part.note or ""
    return Said(title or part.graph.name, (part.graph.description or "", note[:1].upper() + note[1:]))


def described(part: Shown) -> str:
    """What the picture shows, for those who cannot see it."""
    graph = part.graph
    arcs = sum(1 for _ in graph.arcs())
    what = "measured effects" if part.found.rows else "a hypothesis, not measured"
    of_all = f"; {part.note}" if part.note else ""
    sentence = f"Circuit graph of {graph.name}: {len(graph.nodes)} nodes, {arcs} arrows; {what}{of_all}."
    return f"{sentence} {graph.description}" if graph.description else sentence


def _heading(said: Said, limit: float) -> tuple[Text, ...]:
    lines = [Text(EDGE, EDGE + 14, fit(said.title, TITLE, limit, bold=True), TITLE, INK, bold=True)]
    for line in chain(*(wrap(text, SUBTITLE, limit, lines=3) for text in said.paragraphs)):
        lines.append(Text(EDGE, lines[-1].y + (19 if len(lines) == 1 else 15), line, SUBTITLE, SOFT_INK))
    return tuple(lines)


def _moved(placed: Places, dx: float, dy: float) -> Places:
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
