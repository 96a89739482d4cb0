"""CircuitGraph (+ rows) -> Scene in the style of a paper's figure: a box for each group, its members written in it.

As figure 2 of Wang et al. 2022 (arXiv 2211.00593): one arrow for all edges from one group to one port of another,
with the port's letter at its end, and the positions below with the tokens of an example prompt.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitgraph.drawing.diagram import Diagram, Spot, diagram
from circuitgraph.drawing.faces import face_of, faces, rings
from circuitgraph.drawing.fold import Folded, fold
from circuitgraph.drawing.frame import EDGE, NARROWEST, described, framed, margin_for, said_of
from circuitgraph.drawing.layout import Places, pitch_of, place
from circuitgraph.drawing.legend import legend
from circuitgraph.drawing.marks import POSITION_TEXT, beside_rows, layer_names
from circuitgraph.drawing.merged import LETTER, arrows_between, letters, passed_over
from circuitgraph.drawing.notes import notes
from circuitgraph.drawing.order import natural, ordered
from circuitgraph.drawing.routes import routes
from circuitgraph.drawing.scene import Panel, Rect, Scene, Text
from circuitgraph.drawing.strongest import MOST_ARROWS, Shown, shown
from circuitgraph.drawing.style import INK, PAPER, SOFT_INK, Finding, Style, Verdict, finding, verdict
from circuitgraph.drawing.tags import tags
from circuitgraph.drawing.text import fit
from circuitgraph.drawing.told import different
from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.nodes import Position

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

TOKEN_TEXT = 11.0
POSITION_NAMES = 24.0
TOKENS = 16.0
FEW = 80
"""Up to so many arrows are as far apart as their letters are wide."""


@dataclass(frozen=True)
class Example:
    """A prompt's tokens as text, and where in it positions are: `at` maps `S1`, `S1+1` to an index."""

    tokens: Sequence[str]
    at: Mapping[str, int]

    def token(self, position: Position | None) -> str | None:
        """The token at a position; None where it is not known."""
        if position is None:
            return None
        index = self.at.get(str(position))
        if index is None and position.name in self.at:
            index = self.at[position.name] + position.offset
        return self.tokens[index].strip() if index is not None and 0 <= index < len(self.tokens) else None


def grouped(
    graph: CircuitGraph,
    rows: Sequence[Row] | None = None,
    *,
    title: str | None = None,
    positions: Sequence[str] | None = None,
    example: Example | None = None,
) -> Scene:
    """The picture of groups; every arrow carries the ids of the experiments that it stands for in `ids`.

    Its width, colour and `id` are those of the strongest of them, of those whose interval leaves out 0 if there are
    any. Where things stand depends on the graph and the positions alone. Edges between members of one box are
    told in its tooltip.

    Raises:
        InputError: a row belongs to no claim of the graph, or there is too much to draw.
        NotFiniteError: an effect is NaN or infinite.
    """
    part, unfolded, folded = _folded(graph, rows, positions or ())
    drawn = folded.diagram
    names = layer_names(unfolded)
    margin = margin_for(names)
    looks = faces(folded, part.found)
    pitch = LETTER if len(drawn.arcs) <= FEW else pitch_of(len(drawn.arcs))
    placed = place(drawn, NARROWEST - 2 * EDGE - margin, {spot: face.size for spot, face in looks.items()}, pitch)
    curves = routes(drawn, placed, pitch)
    frame = framed(placed, curves, [said_of(part, title)], margin)
    (heading,) = frame.headings
    placed = frame.placed
    shown_rows = strongest_of_each(folded, part.found)
    found = finding(part.graph, [row for row in shown_rows if row is not None])
    keys = _keys(folded)
    lines = arrows_between(folded, frame.curves, keys, part.found, found, shown_rows)
    nodes = tuple(face_of(folded, spot, placed.boxes[spot], looks[spot], keys[spot], part.found) for spot in keys)
    bands = _columns(drawn, placed, example)
    lowest = frame.area.bottom + (POSITION_NAMES + TOKENS * (example is not None) if bands else 8)
    key, bottom = legend(
        part.graph,
        part.found,
        Rect(EDGE, lowest + 16, frame.inner, 0),
        drawn=found if lines else None,
        style=Style.PAPER,
        inside=sum(map(different, folded.inside.values())),
        passed=passed_over(folded, part.found, shown_rows),
    )
    inline = [ring for spot in keys for ring in rings(looks[spot], placed.boxes[spot])]
    marks = (*letters(lines), *inline, *tags(lines, nodes, ()))
    solid = [*placed.blocks.values(), *(mark.rect for mark in marks)]
    return Scene(
        width=math.ceil(frame.inner + 2 * EDGE),
        height=math.ceil(bottom + EDGE),
        title=heading[0].text,
        description=described(part),
        columns=bands,
        clusters=(),
        arrows=lines,
        headers=(),
        boxes=nodes,
        tags=marks,
        notes=notes(lines, solid, found, frame.area),
        texts=(*heading, *beside_rows(names, placed, EDGE)),
        legend=key,
    )


def folded_part(graph: CircuitGraph, rows: Sequence[Row] | None) -> Shown:
    """The part of a graph that its picture of groups is of."""
    return _folded(graph, rows, ())[0]


def _folded(graph: CircuitGraph, rows: Sequence[Row] | None, positions: Sequence[str]) -> tuple[Shown, Diagram, Folded]:
    """All of a graph where its groups have few arrows between them, however many edges these stand for."""
    part = Shown(graph, finding(graph, rows))
    unfolded = natural(diagram(graph, positions))
    folded = fold(unfolded)
    if len(folded.merged) > MOST_ARROWS:
        part = shown(graph, rows)
        unfolded = natural(diagram(part.graph, positions))
        folded = fold(unfolded)
    return part, unfolded, folded.ordered(ordered(folded.diagram))


def strongest_of_each(folded: Folded, found: Finding) -> list[Row | None]:
    """Of each arrow, the row that it shows."""

    def strength(row: Row) -> tuple[bool, float, str]:
        return verdict(row) is not Verdict.UNDECIDED, abs(row.effect), row.id

    rows = ([found.rows[arc.id] for arc in arcs if arc.id in found.rows] for arcs in folded.merged)
    return [max(each, key=strength, default=None) for each in rows]


def _keys(folded: Folded) -> dict[Spot, str]:
    """Names of the boxes: `movers@END`, and `movers@END (2)` for another part of a group that is drawn in several."""
    keys: dict[Spot, str] = {}
    used = Counter[str]()
    for row in folded.diagram.rows:
        for block in row:
            (spot,) = block.spots
            at = "" if spot.position is None else f"@{spot.position}"
            name = f"{block.group.name}{at}" if block.group else str(spot)
            used[name] += 1
            keys[spot] = name if used[name] == 1 else f"{name} ({used[name]})"
    return keys


def _columns(drawn: Diagram, placed: Places, example: Example | None) -> tuple[Panel, ...]:
    """The positions below, with the tokens of the example; none where no position is named."""
    if all(position is None for position in drawn.columns) or not placed.columns:
        return ()
    top, bottom = placed.rows[-1][0] - 10, placed.rows[0][1] + POSITION_NAMES
    panels = []
    for position, column in zip(drawn.columns, placed.columns, strict=True):
        name = fit("all positions" if position is None else str(position), POSITION_TEXT, column.width - 8, bold=True)
        texts = [Text(column.center, bottom - 6, name, POSITION_TEXT, INK, bold=True, anchor="middle")]
        token = example.token(position) if example else None
        if token:
            said = fit(f"“{token}”", TOKEN_TEXT, column.width - 8)
            texts.append(Text(column.center, bottom - 6 + TOKENS, said, TOKEN_TEXT, SOFT_INK, anchor="middle"))
        rect = Rect(column.x, top, column.width, bottom - top + TOKENS * (example is not None))
        panels.append(Panel(rect, PAPER, None, 0.0, tuple(texts)))
    return tuple(panels)
