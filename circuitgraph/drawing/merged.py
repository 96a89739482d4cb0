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
from circuitgraph.drawing.style import PAPER, Finding, interval, signed
from circuitgraph.drawing.text import isolated, width
from circuitgraph.drawing.told import counted, named

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
    unusual = folded.diagram.unusual[arcs[0].id]
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
        tooltip=_tooltip(f"{ends_of(keys, arc, port)}: {counted(arcs)}", said(unusual), arcs, all_rows, row),
        unusual=tuple(unusual.values()),
        ids=tuple(dict.fromkeys(each.id for each in arcs)),
    )


def ends_of(keys: Mapping[Spot, str], arc: Arc, port: str) -> str:
    """`low@END → high@END <q>`."""
    return f"{isolated(keys[arc.tail])} → {isolated(keys[arc.head])}{f' <{port}>' if port else ''}"


def _tooltip(heading: str, how: str, arcs: Sequence[Arc], found: Finding, shown: Row | None) -> str:
    """The experiments: the one whose effect is shown, then the others, strongest first."""
    lines = [heading, how]
    names = named(arcs)
    passed = {row.id for row in stronger(arcs, found, shown)}
    inorder = sorted(names, key=lambda id_: (shown is None or id_ != shown.id, found.rank.get(id_, len(found.rank))))
    for id_ in inorder[:MOST_LINES]:
        row = found.rows.get(id_)
        measured = (
            "" if not found.rows else ": not measured" if row is None else f": {isolated(row.metric)} {interval(row)}"
        )
        lines.append(names[id_] + measured + ("; passed over, as its interval contains 0" if id_ in passed else ""))
    if len(inorder) > MOST_LINES:
        lines.append(f"and {len(inorder) - MOST_LINES} more")
    return "\n".join(filter(None, lines))


def stronger(arcs: Sequence[Arc], found: Finding, shown: Row | None) -> list[Row]:
    """The experiments whose effect is larger than the one that their arrow shows, strongest first."""
    if shown is None:
        return []
    rows = {arc.id: found.rows[arc.id] for arc in arcs if arc.id in found.rows}
    return sorted((r for r in rows.values() if abs(r.effect) > abs(shown.effect)), key=lambda r: -abs(r.effect))


def passed_over(folded: Folded, found: Finding, shown: Sequence[Row | None]) -> list[str]:
    """Of each arrow that does not show its largest effect, that effect: `a0.h1@END → a2.h0<q>@END: +5.00`.

    By its own name: a box need not stand at the position at which each of its nodes acts.
    """
    larger = (stronger(arcs, found, row) for arcs, row in zip(folded.merged, shown, strict=True))
    return [f"{isolated(rows[0].label)}: {signed(rows[0].effect)}" for rows in larger if rows]


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
