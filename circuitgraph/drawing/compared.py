"""One circuit, the rows of several sides -> a scene for each side, on the identical layout and scale of widths.

    scenes = compared(graph, [Side("A", rows_a), Side("B", rows_b), Side("B − A", rows_d, difference=True)])

Boxes, arrows and columns stand at the same places in all of them, so that they can be shown beside each other or one
in the place of the other. A side's arrows are those that have a row in it; in a difference the others are drawn thin
and grey, as `only_in` says. A line of the same width is an effect (or a difference) of the same size everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from circuitgraph.drawing.compose import POSITION_NAMES
from circuitgraph.drawing.diagram import Diagram, Spot, diagram
from circuitgraph.drawing.frame import EDGE, NARROWEST, Frame, Said, framed, margin_for
from circuitgraph.drawing.layout import place
from circuitgraph.drawing.legend import LENGTH, LINE, legend
from circuitgraph.drawing.legend import SIZE as KEY
from circuitgraph.drawing.marks import arrows, beside_rows, boxes, clusters, columns, headers, layer_names
from circuitgraph.drawing.notes import notes
from circuitgraph.drawing.order import ordered
from circuitgraph.drawing.routes import routes
from circuitgraph.drawing.scene import Arrow, Box, Dash, Panel, Rect, Sample, Scene, Stroke, Text
from circuitgraph.drawing.strongest import MOST_ARROWS, up_to
from circuitgraph.drawing.style import (
    INK,
    NEGATIVE,
    POSITIVE,
    SOFT_INK,
    UNDECIDED,
    UNMEASURED,
    Finding,
    Verdict,
    finding,
    number,
    verdict,
)
from circuitgraph.drawing.tags import tags
from circuitgraph.drawing.text import width, wrap
from circuitgraph.errors import InputError
from circuitgraph.graph.claims import CircuitGraph, NodeClaim, claim_id, claim_label

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

THIN = 0.9
"""Width of a line that stands for no difference, as one run alone has it."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a node that stands in for something is called: in its box, and in full."""

    inside: str
    full: str


@dataclass(frozen=True)
class Side:
    """What one scene shows."""

    title: str
    rows: Sequence[Row]
    """By the ids of the common graph."""
    difference: bool = False
    """Whether effects are differences between the two other sides."""
    graph: CircuitGraph | None = None
    """The side's own, whose base, source and path the legend tells; the common one if not given."""
    subtitle: str = ""
    only_in: Mapping[str, str] = field(default_factory=dict)
    """Of a difference: experiment id → the side that alone has it."""
    shares: bool = False
    """Whether effects are normalized."""


def compared(
    graph: CircuitGraph,
    sides: Sequence[Side],
    *,
    positions: Sequence[str] | None = None,
    names: Mapping[str, Name] | None = None,
    layers: bool = True,
) -> tuple[Scene, ...]:
    """A scene for each side.

    Of very many arrows those are drawn that are strongest on any side; the subtitles say so.

    Args:
        graph: the circuit of all sides, each experiment once.
        positions: the names of positions in the order of the prompt.
        names: of nodes that only stand in for something, by their own name; then arrows go by their labels.
        layers: whether the layers are named.

    Raises:
        InputError: a row belongs to no claim of the graph; there is nothing to draw.
        NotFiniteError: an effect is NaN or infinite.
    """
    part, note = _part(graph, sides)
    if not part.claims:
        raise InputError("nothing to draw: no experiment is left")
    found = _findings(part, sides)
    called = names or {}
    drawn = ordered(diagram(part, positions or ()))
    rows = layer_names(drawn) if layers else []
    margin = margin_for(rows)
    placed = place(drawn, NARROWEST - 2 * EDGE - margin)
    placed = replace(placed, labels={spot: _inside(spot, label, called) for spot, label in placed.labels.items()})
    frame = framed(placed, routes(drawn, placed), [Said(side.title, (side.subtitle, note)) for side in sides], margin)
    beside = beside_rows(rows, frame.placed, EDGE)
    scenes = [
        _scene(part, drawn, frame, side, heading, rowed, called)
        for side, heading, rowed in zip(sides, frame.headings, found, strict=True)
    ]
    tallest = max(scene.height for scene in scenes)
    return tuple(replace(scene, height=tallest, texts=(*scene.texts, *beside)) for scene in scenes)


def _scene(
    part: CircuitGraph,
    drawn: Diagram,
    frame: Frame,
    side: Side,
    heading: tuple[Text, ...],
    found: Finding,
    names: Mapping[str, Name],
) -> Scene:
    placed = frame.placed
    lines = tuple(_as_side(arrow, side) for arrow in arrows(drawn, frame.curves, found) if _seen(arrow.id, side, found))
    nodes = boxes(drawn, placed, found)
    if names:
        lines = tuple(_by_label(arrow, claim_label(part.by_id[arrow.id])) for arrow in lines)
        nodes = tuple(_by_name(box, names) for box in nodes)
    lines = _faint_first(lines, found)
    letters = tags(lines, nodes, headers(placed))
    bands = columns(drawn, placed)
    lowest = frame.area.bottom + (POSITION_NAMES if bands else 8)
    key, bottom = _legend(part, side, found, Rect(EDGE, lowest + 16, frame.inner, 0))
    solid = [*placed.blocks.values(), *(letter.rect for letter in letters)]
    return Scene(
        width=math.ceil(frame.inner + 2 * EDGE),
        height=math.ceil(bottom + EDGE),
        title=side.title,
        description=" ".join([f"{side.title}: {len(lines)} arrows.", *(text.text for text in heading[1:])]),
        columns=bands,
        clusters=clusters(placed),
        arrows=lines,
        headers=headers(placed),
        boxes=nodes,
        tags=letters,
        notes=notes([line for line in lines if _is_told(line.id, found)], solid, found, frame.area),
        texts=heading,
        legend=key,
    )


def _inside(spot: Spot, label: str, names: Mapping[str, Name]) -> str:
    name = names.get(str(spot.node))
    return label if name is None else name.inside


def _part(graph: CircuitGraph, sides: Sequence[Side]) -> tuple[CircuitGraph, str]:
    """All of the graph, or what is strongest on any side where there are too many arrows; and what to say of that."""
    if sum(1 for _ in graph.arcs()) <= MOST_ARROWS:
        return graph, ""
    size: dict[str, float] = {}
    for row in (row for side in sides for row in side.rows):
        size[row.id] = max(size.get(row.id, 0.0), abs(row.effect))
    edges = {claim_id(claim) for claim in graph.claims if not isinstance(claim, NodeClaim)}
    kept = set(up_to(MOST_ARROWS, sorted(edges & size.keys(), key=lambda id_: (-size[id_], id_)), graph))
    part = replace(graph, claims=tuple(c for c in graph.claims if isinstance(c, NodeClaim) or claim_id(c) in kept))
    return part, f"Of {len(edges):,} edges the {len(kept):,} that are strongest in A, in B or in their difference."


def _findings(graph: CircuitGraph, sides: Sequence[Side]) -> list[Finding]:
    """Joined to the graph, with one scale."""
    found = [finding(graph, [row for row in side.rows if row.id in graph.by_id]) for side in sides]
    largest, widest = max(each.largest for each in found), min(each.widest for each in found)
    return [replace(each, largest=largest, widest=widest) for each in found]


def _seen(id_: str, side: Side, found: Finding) -> bool:
    return id_ in found.rows or (side.difference and id_ in side.only_in)


def _is_told(id_: str, found: Finding) -> bool:
    """Whether an effect is written beside its arrow: on a scale of larger ones it may round to 0."""
    return id_ in found.rows and round(abs(found.rows[id_].effect), found.digits) > 0


def _as_side(arrow: Arrow, side: Side) -> Arrow:
    """An arrow of a difference that one side alone has is thin and grey."""
    if not (side.difference and arrow.id in side.only_in):
        return arrow
    tooltip = arrow.tooltip.removesuffix("\nnot measured") + f"\nonly in {side.only_in[arrow.id]}"
    return replace(arrow, stroke=Stroke(UNMEASURED, THIN), tooltip=tooltip)


def _by_label(arrow: Arrow, label: str) -> Arrow:
    """An arrow between stand-ins: what its label says, in place of them."""
    sender, _, receiver = label.partition(" → ")
    told = arrow.tooltip.split("\n")[1:]
    return replace(
        arrow, sender=sender, receiver=receiver, tooltip="\n".join([label, *(t for t in told if t != label)])
    )


def _by_name(box: Box, names: Mapping[str, Name]) -> Box:
    if (name := names.get(box.node)) is None:
        return box
    at = "" if box.position is None else f"@{box.position}"
    told = (box.panel.tooltip or "").split("\n")[1:]
    return replace(box, node=name.full, panel=replace(box.panel, tooltip="\n".join([f"{name.full}{at}", *told])))


def _faint_first(lines: Sequence[Arrow], found: Finding) -> tuple[Arrow, ...]:
    return tuple(sorted(lines, key=lambda line: line.id in found.rows))


Mark = Text | Sample | Panel


def _legend(graph: CircuitGraph, side: Side, found: Finding, area: Rect) -> tuple[tuple[Mark, ...], float]:
    if side.difference:
        return _difference_legend(side, found, area)
    return legend(graph.only(found.rows.keys()), found, area, told=side.graph, shares=side.shares)


def _difference_legend(side: Side, found: Finding, area: Rect) -> tuple[tuple[Mark, ...], float]:
    """What the lines of a difference mean."""
    seen = {verdict(row) for row in found.rows.values()}
    kinds = [
        (Verdict.POSITIVE, Stroke(POSITIVE, 2.6), "B − A is positive"),
        (Verdict.NEGATIVE, Stroke(NEGATIVE, 2.6, Dash.DASHED), "B − A is negative"),
        (Verdict.UNDECIDED, Stroke(UNDECIDED, 1.4, Dash.DOTTED), "95 % interval contains 0"),
    ]
    samples = [(stroke, text) for kind, stroke, text in kinds if kind in seen or Verdict.UNTESTED in seen]
    if side.only_in:
        samples.append((Stroke(UNMEASURED, THIN), "only in A or only in B"))
    if found.largest:
        sizes = [found.largest / part for part in (1, 4, 16)]
        scale = [(Stroke(SOFT_INK, found.width(size)), number(size, found.digits)) for size in sizes]
        samples += [(scale[0][0], f"|B − A| = {scale[0][1]}"), *scale[1:]]
    marks: list[Mark] = []
    x, y = area.x, area.y + KEY
    for stroke, text in samples:
        wide = LENGTH + 6 + width(text, KEY)
        if x > area.x and x + wide > area.right:
            x, y = area.x, y + LINE
        level = ((x, y - 3.5), (x, y - 3.5), (x + LENGTH, y - 3.5), (x + LENGTH, y - 3.5))
        marks += [Sample(level, None, stroke), Text(x + LENGTH + 6, y, text, KEY, INK)]
        x += wide + 20
    said = "A negative effect that is weaker in B has a positive difference. Same scale of widths in all pictures."
    if side.shares:
        said = "Differences of normalized effects = mean effect / mean gap. Same scale of widths in all pictures."
    for line in wrap(said, KEY, area.width, lines=3):
        y += LINE
        marks.append(Text(area.x, y, line, KEY, SOFT_INK))
    return tuple(marks), y
