"""Diagram + Places + Finding -> the marks of a scene: arrows, boxes, clusters, columns."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from circuitgraph.drawing.curves import Curve
from circuitgraph.drawing.diagram import Arc, Diagram, Spot
from circuitgraph.drawing.layout import (
    BOX_TEXT,
    EFFECT_HEIGHT,
    EFFECT_TEXT,
    HEADER_LINE,
    HEADER_TEXT,
    PORT_HEIGHT,
    PORT_TEXT,
    Places,
    port_name,
)
from circuitgraph.drawing.scene import Arrow, Box, Panel, Point, Rect, Stroke, Text
from circuitgraph.drawing.style import (
    BADGE,
    BAND,
    BOX_LINE,
    CLUSTER,
    INK,
    LINE,
    PALE,
    PAPER,
    SOFT_INK,
    Finding,
    Verdict,
    color_of,
    interval,
    signed,
    tint,
    verdict,
)
from circuitgraph.drawing.text import fit, isolated
from circuitgraph.graph.claims import claim_label
from circuitgraph.nodes import MLP, Feature, Neuron, Residual, SaeError, layer_of

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

CROWD = 60
"""From so many arrows on, a hypothesis is drawn in thinner lines."""
POSITION_TEXT = 12.0
LAYER_TEXT = 9.5


def arrows(drawn: Diagram, curves: Sequence[Curve], found: Finding) -> tuple[Arrow, ...]:
    """One for each arc, weakest first, so that the strongest lie on top."""
    lines = [_arrow(drawn, arc, curve, found) for arc, curve in zip(drawn.arcs, curves, strict=True)]
    return tuple(sorted(lines, key=lambda arrow: -found.rank.get(arrow.id, len(found.rank))))


def said(settings: Mapping[str, str]) -> str:
    """`path: direct, base: corrupted`."""
    return ", ".join(f"{name}: {value}" for name, value in settings.items())


def _arrow(drawn: Diagram, arc: Arc, curve: Curve, found: Finding) -> Arrow:
    stroke = found.stroke(arc.id, crowded=len(drawn.arcs) > CROWD)
    lines = [f"{isolated(str(arc.sender))} → {isolated(str(arc.receiver))}"]
    if claim_label(arc.claim) != f"{arc.sender} → {arc.receiver}":
        lines.append(claim_label(arc.claim))
    if unusual := drawn.unusual[arc.id]:
        lines.append(said(unusual))
    if row := found.rows.get(arc.id):
        lines.append(f"{isolated(row.metric)}: {interval(row)}, n = {row.n}{judged(row)}")
    elif found.rows:
        lines.append("not measured")
    return Arrow(
        id=arc.id,
        sender=str(arc.sender),
        receiver=str(arc.receiver),
        tail=str(arc.tail),
        head=str(arc.head),
        port="" if arc.ports is None else port_name(arc.ports),
        curve=cut(curve, stroke.tip_length),
        tip=arrowhead(curve[-2], curve[-1], stroke),
        stroke=stroke,
        tooltip="\n".join(lines),
        unusual=tuple(unusual.values()),
    )


def judged(row: Row) -> str:
    """What an expectation came to: `; refuted: expected > 0`."""
    return "" if row.verdict is None else f"; {row.verdict}: expected {row.expected}"


def cut(curve: Curve, length: float) -> Curve:
    """The curve without its last `length`, which the arrowhead covers."""
    (x0, y0), (x1, y1) = curve[-2:]
    ux, uy = _unit((x0, y0), (x1, y1))
    back = length - 0.5
    base = (x1 - back * ux, y1 - back * uy)
    bend = (x0, y0) if math.hypot(x1 - x0, y1 - y0) > back else base
    return (*curve[:-2], bend, base)


def arrowhead(before: Point, end: Point, stroke: Stroke) -> tuple[Point, Point, Point]:
    """A triangle that ends at `end` and points away from `before`."""
    ux, uy = _unit(before, end)
    length, half = stroke.tip_length, stroke.tip_width / 2
    x, y = end[0] - length * ux, end[1] - length * uy
    return (end, (x - half * uy, y + half * ux), (x + half * uy, y - half * ux))


def _unit(a: Point, b: Point) -> Point:
    length = math.hypot(b[0] - a[0], b[1] - a[1])
    return ((b[0] - a[0]) / length, (b[1] - a[1]) / length) if length else (0.0, -1.0)


def boxes(drawn: Diagram, placed: Places, found: Finding) -> tuple[Box, ...]:
    """One for each node and position, with the badges of its ports."""
    groups = {spot: block.group for block in placed.blocks for spot in block.spots}
    badges: dict[Spot, list[Panel]] = {spot: [] for spot in placed.boxes}
    for (spot, ports), at in placed.badges.items():
        label = Text(at.center, at.bottom - 3, port_name(ports), PORT_TEXT, INK, anchor="middle")
        badges[spot].append(Panel(at, BADGE, None, 3.0, (label,)))
    return tuple(
        Box(
            key=str(spot),
            node=str(spot.node),
            position=None if spot.position is None else str(spot.position),
            group=group.name if (group := groups[spot]) else None,
            panel=_face(drawn, spot, placed.labels[spot], rect, bool(badges[spot]), found),
            ports=tuple(badges[spot]),
            ids=drawn.experiments.get(spot, ()),
            unusual=_unusual(drawn, spot, found),
        )
        for spot, rect in placed.boxes.items()
    )


def _measured(drawn: Diagram, spot: Spot, found: Finding) -> list[Row]:
    """The rows of a node's own experiments, the largest effect first: the one that is seen."""
    ids = drawn.experiments.get(spot, ())
    return sorted((found.rows[i] for i in ids if i in found.rows), key=lambda row: -abs(row.effect))


def _unusual(drawn: Diagram, spot: Spot, found: Finding) -> tuple[str, ...]:
    """What is unusual about the experiment that is seen; where none is measured, about any."""
    seen = [row.id for row in _measured(drawn, spot, found)[:1]] or drawn.experiments.get(spot, ())
    return tuple(dict.fromkeys(value for id_ in seen for value in drawn.unusual[id_].values()))


def _face(drawn: Diagram, spot: Spot, label: str, rect: Rect, has_ports: bool, found: Finding) -> Panel:
    """The box itself; where the node is patched, coloured by its largest effect."""
    ids, measured = drawn.experiments.get(spot, ()), _measured(drawn, spot, found)
    middle = rect.y + (rect.height - (PORT_HEIGHT if has_ports else 0) - (EFFECT_HEIGHT if ids else 0)) / 2
    texts = [Text(rect.center, middle + 4, label, BOX_TEXT, INK, bold=True, anchor="middle")]
    if ids:
        note = signed(measured[0].effect, found.digits) if measured else "patched"
        part = drawn.patched_ports.get((spot, measured[0].id if measured else ids[0]))
        note = fit(f"{part} {note}" if part else note, EFFECT_TEXT, rect.width - 4)
        texts.append(Text(rect.center, middle + 15.5, note, EFFECT_TEXT, INK, anchor="middle"))
    fill, border = _colors(measured, found) if measured else (PAPER, Stroke(BOX_LINE, 1.8 if ids else 1.0))
    lines = [str(spot)]
    for row in measured:
        how = f" ({said(drawn.unusual[row.id])})" if drawn.unusual[row.id] else ""
        lines.append(f"{isolated(row.label)}{how}: {isolated(row.metric)} {interval(row)}, n = {row.n}{judged(row)}")
    return Panel(rect, fill, border, 5.0, tuple(texts), "\n".join(lines))


def _colors(measured: Sequence[Row], found: Finding) -> tuple[str, Stroke]:
    row = measured[0]
    strength = math.sqrt(abs(row.effect) / found.largest) if found.largest else 0.0
    opacity = PALE if verdict(row) is Verdict.UNTESTED else 1.0
    border = replace(found.stroke(row.id, crowded=False), width=1.2 + 1.4 * strength, opacity=opacity)
    return tint(color_of(row), opacity * (0.08 + 0.3 * strength)), border


def clusters(placed: Places) -> tuple[Panel, ...]:
    """The outlines of the groups."""
    return tuple(
        Panel(
            rect, CLUSTER, Stroke(LINE, 1.0), 8.0, (), "\n".join(filter(None, [group.label or group.name, group.note]))
        )
        for block, rect in placed.blocks.items()
        if (group := block.group)
    )


def headers(placed: Places) -> tuple[Panel, ...]:
    """The names of the groups, opaque: arrows from lower lines of a cluster pass behind them."""
    panels = []
    for block, rect in placed.blocks.items():
        shape = placed.shapes[block]
        if block.group:
            strip = Rect(rect.x + 1, rect.y + 1, rect.width - 2, shape.header_height - 1)
            texts = tuple(
                Text(rect.center, rect.y + 14 + i * HEADER_LINE, line, HEADER_TEXT, INK, bold=True, anchor="middle")
                for i, line in enumerate(shape.header)
            )
            panels.append(Panel(strip, CLUSTER, None, 7.0, texts))
    return tuple(panels)


def columns(drawn: Diagram, placed: Places) -> tuple[Panel, ...]:
    """Bands behind the positions, with their names below; none where no position is named."""
    if all(position is None for position in drawn.columns) or not placed.columns:
        return ()
    top, bottom = placed.rows[-1][0] - 10, placed.rows[0][1] + 30
    panels = []
    for i, (position, column) in enumerate(zip(drawn.columns, placed.columns, strict=True)):
        rect = Rect(column.x, top, column.width, bottom - top)
        name = fit("all positions" if position is None else str(position), POSITION_TEXT, column.width - 8, bold=True)
        text = Text(rect.center, bottom - 9, name, POSITION_TEXT, INK, bold=True, anchor="middle")
        panels.append(Panel(rect, PAPER if i % 2 else BAND, None, 0.0, (text,)))
    return tuple(panels)


def layer_names(drawn: Diagram) -> list[str]:
    """`layer 3` or `layers 9–11` for each row, "" for rows without; where a layer takes two, which half is which."""
    names, halves = list[str](), list[str]()
    for row in drawn.rows:
        held = [spot.node for block in row for spot in block.spots]
        nodes = [node for node in held if not isinstance(node, Residual | Feature | SaeError)]
        layers = sorted({layer for node in nodes if (layer := layer_of(node)) is not None})
        mlps = {isinstance(node, MLP | Neuron) for node in nodes if layer_of(node) is not None}
        halves.append("" if len(mlps) != 1 else "MLP" if True in mlps else "attention")
        name = f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]}–{layers[-1]}" if layers else ""
        streams = {str(node.sae.site) for node in held if isinstance(node, Feature | SaeError)}
        names.append(name or (f"parts of {streams.pop()}" if len(streams) == 1 else ""))
    drawn_in: dict[str, set[str]] = defaultdict(set)
    for name, half in zip(names, halves, strict=True):
        drawn_in[name].add(half)
    return [
        f"{name} {half}" if name and drawn_in[name] == {"MLP", "attention"} else name
        for name, half in zip(names, halves, strict=True)
    ]


def beside_rows(names: Sequence[str], placed: Places, x: float) -> list[Text]:
    """The names of the rows, written at `x` beside them."""
    return [
        Text(x, (top + bottom) / 2 + 3.5, name, LAYER_TEXT, SOFT_INK)
        for name, (top, bottom) in zip(names, placed.rows, strict=False)
        if name
    ]
