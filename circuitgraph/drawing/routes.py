"""Places -> curves: each arrow from the top of its sender to a port of its receiver, around what stands between.

A curve is a chain of cubic Béziers with upright tangents. In every row it passes, it keeps to a gap between
blocks; arrows between the same two blocks stay side by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from circuitgraph.drawing.curves import Curve, smooth
from circuitgraph.drawing.diagram import Arc, Block, Diagram, Spot
from circuitgraph.drawing.layout import Places, pitch_of
from circuitgraph.drawing.scene import Point, Rect
from circuitgraph.drawing.spacing import settle

MARGIN = 26.0
"""How far arrows may pass outside the outermost blocks."""
CLEARANCE = 7.0
TURN = 40.0
"""What a turn costs, in points of sideways movement."""
SHIFT = 4 / 3
"""A cubic's middle moves by three quarters of what its two control points move."""
MOST_WAYS = 12
"""How many ways are kept in mind while one is looked for."""

Gap = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Pass:
    """A way through one row: the row, the gap, and where in it the middle of the bundle would like to be."""

    row: int
    gap: Gap
    x: float


@dataclass(frozen=True, slots=True)
class _Way:
    """A way found so far, and what its turns cost."""

    cost: float
    x: float
    passes: tuple[_Pass, ...] = ()


Bundle = tuple[Block, Block]


def routes(diagram: Diagram, layout: Places) -> list[Curve]:
    """One curve for each of the diagram's arcs, in their order; it ends at the port's lower edge."""
    home = {spot: block for block in layout.blocks for spot in block.spots}
    level = {block: i for i, row in enumerate(diagram.rows) for block in row}
    bundles: dict[Bundle, list[int]] = defaultdict(list)
    for i, arc in enumerate(diagram.arcs):
        bundles[home[arc.tail], home[arc.head]].append(i)
    gaps = [_gaps(row, level, layout) for row in range(len(diagram.rows))]
    reach = [sorted((level[home[arc.tail]], level[home[arc.head]])) for arc in diagram.arcs]
    traffic = [sum(low < row <= high for low, high in reach) for row in range(len(diagram.rows))]
    ways = {bundle: _way(bundle, level, gaps, traffic, layout) for bundle in bundles}
    pitch = pitch_of(diagram.arcs)
    starts, ends = _slots(diagram, layout, home, ways, pitch)
    lanes = _lanes(bundles, ways, starts, ends, pitch)
    lines = [
        _line(arc, (home[arc.tail], home[arc.head]), starts[i], ends[i], lanes[i], level, layout)
        for i, arc in enumerate(diagram.arcs)
    ]
    return [smooth(line, shifts) for line, shifts in zip(lines, _shifts(lines, pitch), strict=True)]


def _gaps(row: int, level: Mapping[Block, int], layout: Places) -> list[Gap]:
    rects = sorted((layout.blocks[b] for b in layout.blocks if level[b] == row), key=lambda rect: rect.x)
    inner = [(a.right + CLEARANCE, b.x - CLEARANCE) for a, b in pairwise(rects)]
    left = (min(-MARGIN, rects[0].x - MARGIN), rects[0].x - CLEARANCE)
    right = (rects[-1].right + CLEARANCE, max(layout.width + MARGIN, rects[-1].right + MARGIN))
    return [left, *inner, right]


def _way(
    bundle: Bundle, level: Mapping[Block, int], gaps: Sequence[Sequence[Gap]], traffic: Sequence[int], layout: Places
) -> tuple[_Pass, ...]:
    """The gaps to take through the rows between two blocks: few turns, short ones, where few arrows cross."""
    tail, head = bundle
    low, high = level[tail], level[head]
    if tail == head or low + 1 == high:
        return ()
    rows = range(low + 1, high) if low < high else range(low, high - 1, -1)
    end = layout.blocks[head].center
    ways = [_Way(0.0, layout.blocks[tail].center)]
    for row in rows:
        busy = 1 + traffic[row] / 30
        ahead: dict[tuple[Gap, int], _Way] = {}
        for way in ways:
            for gap in _near(gaps[row], way.x, end):
                for x in {_clamp(way.x, gap), _clamp(end, gap)}:
                    narrow = 30.0 if gap[1] - gap[0] < 14 else 0.0
                    cost = way.cost + _turn(way.x, x, busy) + narrow
                    key = gap, round(x)
                    if key not in ahead or cost < ahead[key].cost:
                        ahead[key] = _Way(cost, x, (*way.passes, _Pass(row, gap, x)))
        ways = sorted(ahead.values(), key=lambda way: (way.cost + abs(way.x - end), way.x))[:MOST_WAYS]
    last = 1 + traffic[max(low, high)] / 30
    return min(ways, key=lambda way: (way.cost + _turn(way.x, end, last), way.x)).passes


def _turn(x0: float, x1: float, busy: float) -> float:
    return abs(x1 - x0) * busy + (TURN if abs(x1 - x0) > 12 else 0.0)


def _near(gaps: Sequence[Gap], x: float, end: float) -> list[Gap]:
    """The gaps between here and there, and the next one on either side."""
    least, most = min(x, end), max(x, end)
    inside = [i for i, gap in enumerate(gaps) if gap[1] >= least and gap[0] <= most]
    if not inside:
        after = next((i for i, gap in enumerate(gaps) if gap[0] > most), len(gaps))
        return list(gaps[max(after - 1, 0) : after + 1])
    return list(gaps[max(inside[0] - 1, 0) : inside[-1] + 2])


def _clamp(x: float, gap: Gap) -> float:
    middle = (gap[0] + gap[1]) / 2
    return min(max(x, min(gap[0] + 6, middle)), max(gap[1] - 6, middle))


def _slots(
    diagram: Diagram, layout: Places, home: Mapping[Spot, Block], ways: Mapping[Bundle, Sequence[_Pass]], pitch: float
) -> tuple[dict[int, Point], dict[int, Point]]:
    """Where each arrow leaves and arrives, side by side in the order of where it comes from or goes to."""
    leaving: dict[Spot, list[tuple[float, float, int]]] = defaultdict(list)
    arriving: dict[Rect, list[tuple[float, float, int]]] = defaultdict(list)
    for i, arc in enumerate(diagram.arcs):
        way = ways[home[arc.tail], home[arc.head]]
        port = layout.boxes[arc.head] if arc.ports is None else layout.badges[arc.head, arc.ports]
        leaving[arc.tail].append((way[0].x if way else port.center, port.center, i))
        tail = layout.boxes[arc.tail]
        arriving[port].append((way[-1].x if way else tail.center, tail.center, i))
    starts: dict[int, Point] = {}
    ends: dict[int, Point] = {}
    for spot, slots in leaving.items():
        box = layout.boxes[spot]
        for x, (_, _, i) in zip(_side_by_side(box, len(slots), pitch), sorted(slots), strict=True):
            starts[i] = (x, box.y)
    for port, slots in arriving.items():
        for x, (_, _, i) in zip(_side_by_side(port, len(slots), pitch), sorted(slots), strict=True):
            ends[i] = (x, port.bottom)
    return starts, ends


def _side_by_side(rect: Rect, count: int, pitch: float) -> list[float]:
    step = min(pitch, (rect.width - 6) / max(count - 1, 1))
    return [rect.center + (i - (count - 1) / 2) * step for i in range(count)]


def _lanes(
    bundles: Mapping[Bundle, Sequence[int]],
    ways: Mapping[Bundle, Sequence[_Pass]],
    starts: Mapping[int, Point],
    ends: Mapping[int, Point],
    pitch: float,
) -> dict[int, list[tuple[int, float]]]:
    """Arrow → (row, x) for each row it passes; arrows that share a gap are set apart."""
    users: dict[tuple[int, Gap], list[tuple[float, float, int]]] = defaultdict(list)
    for bundle, way in ways.items():
        strands = sorted(bundles[bundle], key=lambda i: (starts[i][0], ends[i][0], i))
        middle = sum(starts[i][0] for i in strands) / len(strands)
        for before, here, after in zip([None, *way], way, [*way[1:], None], strict=False):
            for k, i in enumerate(strands):
                spread = (k - (len(strands) - 1) / 2) * pitch
                if len(bundle[0].spots) == 1:  # straight on from where it left the box
                    spread = starts[i][0] - middle
                came, goes = before.x if before else starts[i][0], after.x if after else ends[i][0]
                users[here.row, here.gap].append((here.x + spread, came + goes, i))
    lanes: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (row, gap), strands in users.items():
        strands.sort()
        places = settle([x for x, _, _ in strands], [pitch] * (len(strands) - 1), *gap)
        for x, (_, _, i) in zip(places, strands, strict=True):
            lanes[i].append((row, x))
    return lanes


def _line(
    arc: Arc,
    bundle: Bundle,
    start: Point,
    end: Point,
    lanes: Sequence[tuple[int, float]],
    level: Mapping[Block, int],
    layout: Places,
) -> list[Point]:
    """The points an arrow passes; `smooth` rounds the corners off."""
    tail, head = bundle
    if tail == head:
        return [start, *_inside(arc.tail, arc.head, tail, layout), end]
    top_of_tail, bottom_of_head = layout.rows[level[tail]][0], layout.rows[level[head]][1]
    way: list[Point] = _out(arc.tail, tail, start, layout)
    way.append((way[-1][0], top_of_tail))
    upwards = level[tail] < level[head]
    for row, x in sorted(lanes, reverse=not upwards):
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
