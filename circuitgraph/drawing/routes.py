"""Places -> curves: each arrow from the top of its sender to a port of its receiver, around what stands between.

A curve is a chain of cubic Béziers with upright tangents. In every row it passes, it keeps to a gap between
blocks; arrows between the same two blocks stay side by side.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from circuitgraph.drawing.curves import Curve, smooth
from circuitgraph.drawing.diagram import Arc, Block, Diagram, Spot
from circuitgraph.drawing.layout import Places, Ports, pitch_of
from circuitgraph.drawing.scene import Point, Rect
from circuitgraph.drawing.spacing import settle
from circuitgraph.drawing.ways import Bundle, Gap, Pass, find_ways

SHIFT = 4 / 3
"""A cubic's middle moves by three quarters of what its two control points move."""
MIN_AT_BOX = 2.6
"""Between arrows at one box or port, if there is room."""
MOST_WISHES = 80
"""More arrows in one gap are put in order without asking where each wishes to be."""
PASSES = 4
"""How often arrows side by side are put in the order of where they come from and go to."""


def routes(diagram: Diagram, layout: Places, pitch: float | None = None) -> list[Curve]:
    """One curve for each of the diagram's arcs, in their order; it ends at the port's lower edge.

    `pitch` is how far apart arrows side by side are; None: as their number allows.
    """
    home = {spot: block for block in layout.blocks for spot in block.spots}
    level = {block: i for i, row in enumerate(diagram.rows) for block in row}
    bundles = [(home[arc.tail], home[arc.head]) for arc in diagram.arcs]
    pitch = pitch_of(len(diagram.arcs)) if pitch is None else pitch
    ways = find_ways(Counter(bundles), level, layout, pitch)
    strands = _strands(diagram.arcs, bundles, ways, layout, pitch)
    lines = [
        _line(arc, bundle, strand, level, layout)
        for arc, bundle, strand in zip(diagram.arcs, bundles, strands, strict=True)
    ]
    return [smooth(line, shifts) for line, shifts in zip(lines, _shifts(lines, pitch), strict=True)]


@dataclass(slots=True)
class _Strand:
    """One arrow: where it leaves its box, passes rows and arrives; `x` has a place for each."""

    start: Rect
    way: Sequence[Pass]
    end: Rect
    x: list[float] = field(default_factory=list)

    @property
    def lanes(self) -> list[tuple[int, float]]:
        """(row, x) for each row it passes."""
        return [(each.gap.row, x) for each, x in zip(self.way, self.x[1:-1], strict=True)]


def _strands(
    arcs: Sequence[Arc],
    bundles: Sequence[Bundle],
    ways: Mapping[Bundle, Sequence[Pass]],
    layout: Places,
    pitch: float,
) -> list[_Strand]:
    """Arrows that leave one box, share a gap or reach one port stand side by side, and cross as little as they can.

    Where one of two comes from and goes to the left of the other, it passes to the left of it; and no arrow
    swerves: it would like to pass a row between where it comes from and where it goes to.
    """
    strands: list[_Strand] = []
    leaving: dict[Spot, list[int]] = defaultdict(list)
    arriving: dict[tuple[Spot, Ports | None], list[int]] = defaultdict(list)
    sharing: dict[Gap, list[tuple[int, int]]] = defaultdict(list)
    for i, (arc, bundle) in enumerate(zip(arcs, bundles, strict=True)):
        port = layout.boxes[arc.head] if arc.ports is None else layout.badges[arc.head, arc.ports]
        start, way = layout.boxes[arc.tail], ways[bundle]
        strands.append(_Strand(start, way, port, [start.center, *(each.x for each in way), port.center]))
        leaving[arc.tail].append(i)
        arriving[arc.head, arc.ports].append(i)
        for k, each in enumerate(way, 1):
            sharing[each.gap].append((i, k))
    _set_ends(strands, leaving, arriving, pitch)
    wishes = _wishes(strands, bundles, pitch)
    for _ in range(PASSES):
        for gap, users in sharing.items():
            inorder = _side_by_side_in_gap([_lane(strands[i].x, wishes[i][k - 1], i, k) for i, k in users])
            places = settle([lane.wish for lane in inorder], [pitch] * (len(users) - 1), gap.left, gap.right)
            for lane, place in zip(inorder, places, strict=True):
                strands[lane.strand].x[lane.at] = place
        _set_ends(strands, leaving, arriving, pitch)
    return strands


class _Lane(NamedTuple):
    """Where a strand would like to pass a gap; where it comes from and goes to."""

    wish: float
    comes: float
    goes: float
    far: float
    strand: int
    at: int


def _lane(x: Sequence[float], wish: float, strand: int, at: int) -> _Lane:
    between = sorted((x[at - 1], wish, x[at + 1]))[1]
    return _Lane(between, x[at - 1], x[at + 1], x[0] + x[-1], strand, at)


def _side_by_side_in_gap(lanes: list[_Lane]) -> list[_Lane]:
    """Who comes from and goes to the left of another stands left of it; else as they wish, or halfway in a crowd."""
    if len(lanes) > MOST_WISHES:
        return sorted(lanes, key=lambda lane: (lane.comes + lane.goes, *lane[3:]))
    rest, inorder = sorted(lanes, key=lambda lane: (round(lane.wish, 3), lane.comes + lane.goes, *lane[3:])), []
    while rest:
        for i, lane in enumerate(rest):
            if not any(
                other.comes <= lane.comes and other.goes <= lane.goes and other[1:3] != lane[1:3] for other in rest
            ):
                inorder.append(rest.pop(i))
                break
    return inorder


def _set_ends(
    strands: Sequence[_Strand],
    leaving: Mapping[Spot, Sequence[int]],
    arriving: Mapping[tuple[Spot, Ports | None], Sequence[int]],
    pitch: float,
) -> None:
    """Where each arrow leaves and arrives, side by side in the order of where it goes to or comes from."""
    for users in leaving.values():
        inorder = sorted((strands[i].x[1], strands[i].x[-1], i) for i in users)
        for (*_, i), x in zip(inorder, _side_by_side(strands[users[0]].start, len(users), pitch), strict=True):
            strands[i].x[0] = x
    for users in arriving.values():
        inorder = sorted((strands[i].x[-2], strands[i].x[0], i) for i in users)
        for (*_, i), x in zip(inorder, _side_by_side(strands[users[0]].end, len(users), pitch), strict=True):
            strands[i].x[-1] = x


def _side_by_side(rect: Rect, count: int, pitch: float) -> list[float]:
    step = min(max(pitch, MIN_AT_BOX), (rect.width - 6) / max(count - 1, 1))
    return [rect.center + (i - (count - 1) / 2) * step for i in range(count)]


def _wishes(strands: Sequence[_Strand], bundles: Sequence[Bundle], pitch: float) -> list[list[float]]:
    """Where arrows would like to pass rows: beside the others of their bundle, around its way."""
    wishes: list[list[float]] = [[] for _ in strands]
    together: dict[Bundle, list[int]] = defaultdict(list)
    for i, bundle in enumerate(bundles):
        together[bundle].append(i)
    for bundle, users in together.items():
        inorder = sorted(users, key=lambda i: (strands[i].x[0], strands[i].x[-1], i))
        middle = sum(strands[i].x[0] for i in users) / len(users)
        for rank, i in enumerate(inorder):
            spread = (rank - (len(users) - 1) / 2) * pitch
            if len(bundle[0].spots) == 1:  # straight on from where it left the box
                spread = strands[i].x[0] - middle
            wishes[i] = [each.x + spread for each in strands[i].way]
    return wishes


def _line(arc: Arc, bundle: Bundle, strand: _Strand, level: Mapping[Block, int], layout: Places) -> list[Point]:
    """The points an arrow passes; `smooth` rounds the corners off."""
    tail, head = bundle
    start, end = (strand.x[0], strand.start.y), (strand.x[-1], strand.end.bottom)
    if tail == head:
        return [start, *_inside(arc.tail, arc.head, tail, layout), end]
    top_of_tail, bottom_of_head = layout.rows[level[tail]][0], layout.rows[level[head]][1]
    way: list[Point] = _out(arc.tail, tail, start, layout)
    way.append((way[-1][0], top_of_tail))
    upwards = level[tail] < level[head]
    for row, x in sorted(strand.lanes, reverse=not upwards):
        top, bottom = layout.rows[row]
        way += [(x, bottom), (x, top)] if upwards else [(x, top), (x, bottom)]
    into = _in(arc.head, head, end, layout)
    way.append((into[0][0], bottom_of_head))
    return [*way, *into]


def _out(spot: Spot, block: Block, start: Point, layout: Places) -> list[Point]:
    """From a box to the top of its block; from a lower line through gaps of the lines above it."""
    lines = layout.shapes[block].lines
    if not block.group:
        return [start]
    line = _line_of(spot, lines)
    if line == len(lines) - 1:
        return [(start[0], layout.blocks[block].y)]
    way = [start]
    for above in lines[line + 1 :]:
        way += _past(above, way[-1][0], spot, block, layout)
    return [*way, (way[-1][0], layout.blocks[block].y)]


def _in(spot: Spot, block: Block, end: Point, layout: Places) -> list[Point]:
    """From the bottom of a block to a box; to an upper line through gaps of the lines below it."""
    lines = layout.shapes[block].lines
    way = [end]
    for below in reversed(lines[: _line_of(spot, lines)]):
        way = [*_past(below, way[0][0], spot, block, layout), *way]
    return way


def _inside(tail: Spot, head: Spot, block: Block, layout: Places) -> list[Point]:
    """Between two boxes of one cluster: through gaps of the lines between theirs."""
    lines = layout.shapes[block].lines
    way: list[Point] = []
    for between in lines[_line_of(tail, lines) + 1 : _line_of(head, lines)]:
        way += _past(between, way[-1][0] if way else layout.boxes[tail].center, tail, block, layout)
    return way


def _line_of(spot: Spot, lines: Sequence[Sequence[Spot]]) -> int:
    return next(i for i, spots in enumerate(lines) if spot in spots)


def _past(line: Sequence[Spot], x: float, spot: Spot, block: Block, layout: Places) -> list[Point]:
    """Upwards past a line of boxes, in the gap nearest to `x`; each box of the cluster has its own lane there."""
    boxes = [layout.boxes[other] for other in line]
    gaps = [boxes[0].x - 10, *((a.right + b.x) / 2 for a, b in pairwise(boxes)), boxes[-1].right + 10]
    at = min(gaps, key=lambda gap: abs(gap - x)) + (block.spots.index(spot) % 5 - 2) * 3.0
    return [(at, boxes[0].bottom), (at, boxes[0].y)]


def _shifts(lines: Sequence[Sequence[Point]], pitch: float) -> list[list[float]]:
    """Line → step → how far its sideways run is moved down, so that arrows that run the same way stay apart.

    Of arrows that rise to the right, the leftmost runs highest: it crosses none of its neighbours.
    """
    shifts = [[0.0] * (len(line) - 1) for line in lines]
    together: dict[tuple[float, float, bool], list[tuple[float, float, int, int]]] = defaultdict(list)
    for i, line in enumerate(lines):
        for k, ((x0, y0), (x1, y1)) in enumerate(pairwise(line)):
            if 2 * abs(x1 - x0) > y0 - y1 > 0:
                sign = 1 if x1 > x0 else -1
                together[y0, y1, x1 > x0].append((sign * x0, sign * x1, i, k))
    for (bottom, top, _), steps in together.items():
        for run in _runs(sorted(steps)):
            apart = min(0.8 * pitch, 0.5 * (bottom - top) / len(run))
            for rank, (_, _, i, k) in enumerate(run):
                shifts[i][k] = (rank - (len(run) - 1) / 2) * apart * SHIFT
    return shifts


def _runs(steps: Sequence[tuple[float, float, int, int]]) -> list[list[tuple[float, float, int, int]]]:
    """Steps (from, to, …) in order of `from`, cut where none reaches over to the next."""
    runs: list[list[tuple[float, float, int, int]]] = []
    reach = float("-inf")
    for step in steps:
        if step[0] > reach:
            runs.append([])
        runs[-1].append(step)
        reach = max(reach, step[1])
    return runs
