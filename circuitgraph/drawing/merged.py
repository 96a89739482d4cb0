"""Folded + curves -> the arrows of a paper's figure, each for many edges, and the letters at their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from circuitgraph.drawing.curves import Curve, spaced
from circuitgraph.drawing.diagram import Arc, Spot
from circuitgraph.drawing.fold import Folded
from circuitgraph.drawing.layout import port_name
from circuitgraph.drawing.marks import arrowhead, cut, said
from circuitgraph.drawing.scene import Arrow, Panel, Rect, Text
from circuitgraph.drawing.style import PAPER, Finding, interval
from circuitgraph.drawing.text import isolated, width

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

LETTER = 12.0
"""Height of a letter's patch on its arrow, and the least distance of arrows."""
LETTER_TEXT = 9.5
FROM_TIP = 13.0
"""Between the tip of an arrow and the middle of its letter."""
CROWD = 160
FAINT = 0.5
MOST_LINES = 40
"""Of a tooltip."""


def arrows_between(
    folded: Folded,
    curves: Sequence[Curve],
    keys: Mapping[Spot, str],
    all_rows: Finding,
    found: Finding,
    strongest: Sequence[Row | None],
) -> tuple[Arrow, ...]:
    """One for each arrow of the folded diagram, weakest first; `found` has the rows that are shown."""
    lines = [_arrow(folded, i, curve, keys, all_rows, found, strongest[i]) for i, curve in enumerate(curves)]
    return tuple(sorted(lines, key=lambda arrow: -found.rank.get(arrow.id, len(found.rank))))


def _arrow(
    folded: Folded,
    i: int,
    curve: Curve,
    keys: Mapping[Spot, str],
    all_rows: Finding,
    found: Finding,
    row: Row | None,
) -> Arrow:
    arc, arcs = folded.diagram.arcs[i], folded.merged[i]
    id_ = arc.id if row is None else row.id
    stroke = found.stroke(id_, crowded=False)
    unusual = [folded.diagram.unusual[each.id] for each in arcs]
    shared = unusual[0] if all(each == unusual[0] for each in unusual) else {}
    port = "" if arcs[0].ports is None else port_name(arcs[0].ports)
    return Arrow(
        id=id_,
        sender=keys[arc.tail],
        receiver=f"{keys[arc.head]}<{port}>" if port else keys[arc.head],
        tail=keys[arc.tail],
        head=keys[arc.head],
        port=port,
        curve=cut(curve, stroke.tip_length),
        tip=arrowhead(curve[-2], curve[-1], stroke),
        stroke=stroke,
        tooltip=_tooltip(keys, arc, port, arcs, all_rows, said(shared)),
        unusual=tuple(shared.values()),
        ids=tuple(dict.fromkeys(each.id for each in arcs)),
    )


def _tooltip(keys: Mapping[Spot, str], arc: Arc, port: str, arcs: Sequence[Arc], found: Finding, how: str) -> str:
    """The members, strongest first."""
    count = f"{len(arcs)} edge{'s' if len(arcs) > 1 else ''}"
    ends = f"{isolated(keys[arc.tail])} → {isolated(keys[arc.head])}"
    lines = [f"{ends}{f' <{port}>' if port else ''}: {count}", how]
    inorder = sorted(arcs, key=lambda each: found.rank.get(each.id, len(found.rank)))
    for each in inorder[:MOST_LINES]:
        row = found.rows.get(each.id)
        measured = (
            "" if not found.rows else ": not measured" if row is None else f": {isolated(row.metric)} {interval(row)}"
        )
        lines.append(f"{isolated(str(each.sender))} → {isolated(str(each.receiver))}{measured}")
    if len(inorder) > MOST_LINES:
        lines.append(f"and {len(inorder) - MOST_LINES} more")
    return "\n".join(filter(None, lines))


def letters(arrows: Sequence[Arrow]) -> tuple[Panel, ...]:
    """`q`, `k`, `v` on the arrows, before their tips; of neighbours that would touch, the later one a step earlier.

    Of very many arrows, those that are pale have none.
    """
    placed: list[Panel] = []
    crowd = len(arrows) > CROWD
    for arrow in sorted(arrows, key=lambda arrow: arrow.tip[0]):
        if arrow.port and not (crowd and arrow.stroke.opacity < FAINT):
            back = [*reversed(spaced(arrow.curve, 1.0))]
            start = round(FROM_TIP - arrow.stroke.tip_length)
            choices = [_letter(arrow, *back[min(start + far, len(back) - 1)]) for far in (0, 6, 12, 18)]
            free = (each for each in choices if not any(each.rect.overlaps(other.rect) for other in placed))
            placed.append(next(free, choices[0]))
    return tuple(placed)


def _letter(arrow: Arrow, x: float, y: float) -> Panel:
    wide = width(arrow.port, LETTER_TEXT, bold=True) + 5
    text = Text(x, y + 0.34 * LETTER_TEXT, arrow.port, LETTER_TEXT, arrow.stroke.color, bold=True, anchor="middle")
    return Panel(Rect(x - wide / 2, y - LETTER / 2, wide, LETTER), PAPER, None, LETTER / 2, (text,), arrow.tooltip)
