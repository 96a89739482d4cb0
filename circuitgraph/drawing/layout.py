"""Diagram -> Places: sizes and places of boxes and clusters, rows by columns. No curves, no colours.

Distances are points; y grows downwards; the drawing starts at (0, 0).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from circuitgraph.drawing.diagram import Arc, Block, Diagram, Spot
from circuitgraph.drawing.net import lines_of
from circuitgraph.drawing.scene import Rect
from circuitgraph.drawing.spacing import settle
from circuitgraph.drawing.text import one_line, width, wrap
from circuitgraph.nodes import ALL_PORTS, Port

BOX_TEXT = 11.0
PORT_TEXT = 8.5
EFFECT_TEXT = 9.5
HEADER_TEXT = 10.5
HEADER_LINE = 13.0
PADDING = 8.0
PORT_HEIGHT = 11.0
EFFECT_HEIGHT = 11.0
"""Height of a line that tells the effect of patching the node itself."""
SPACE_IN_CLUSTER = 8.0
SPACE_BETWEEN_LINES = 20.0
"""Between the boxes of a cluster of several lines: arrows to and from the other lines pass there."""
SPACE_IN_ROW = 30.0
WIDEST_SPACE = 110.0
"""Between blocks of a row that very many arrows pass."""
SPACE_OF_COLUMN = 20.0
LANE = 22.0
"""Height between the rows of one cluster."""
PITCHES = ((32, 10.0), (60, 6.5), (200, 3.5), (500, 2.2))
"""(most arrows, the distance side by side that so many get): up to 32, each has room for the widest line."""
PITCH_IN_A_CROWD = 1.4
"""Of more arrows: what runs the same way is bundled into a trunk."""
CROWD = 200
"""From more arrows on, rows stand closer and boxes no longer grow with the arrows that leave them."""

Ports = tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class BlockShape:
    """The inside of a block: its size, and where its boxes are, from its left upper corner."""

    width: float
    height: float
    header: tuple[str, ...]
    header_height: float
    lines: tuple[tuple[Spot, ...], ...]
    """Spots by line, the lowest first."""
    boxes: Mapping[Spot, Rect]


@dataclass(frozen=True)
class Places:
    """Where everything stands. `rows` are (top, bottom) from the lowest row up."""

    width: float
    height: float
    blocks: Mapping[Block, Rect]
    shapes: Mapping[Block, BlockShape]
    boxes: Mapping[Spot, Rect]
    labels: Mapping[Spot, str]
    badges: Mapping[tuple[Spot, Ports], Rect]
    rows: tuple[tuple[float, float], ...]
    columns: tuple[Rect, ...]


def place(
    diagram: Diagram,
    least: float = 0.0,
    faces: Mapping[Spot, tuple[float, float]] | None = None,
    pitch: float | None = None,
) -> Places:
    """Place a diagram's boxes: columns as wide as their fullest row, each block near what it is connected to.

    Columns are widened until they are `least` wide together. With `faces`, sizes of boxes, each block is one box;
    with `pitch`, the distance of arrows, there is room for them between blocks.
    """
    labels = {spot: str(spot.node) for row in diagram.rows for block in row for spot in block.spots}
    sizes = box_sizes(diagram, labels) if faces is None else faces
    shapes = {
        block: block_shape(block, diagram.arcs, sizes) if faces is None else _lone(block.spots[0], sizes)
        for row in diagram.rows
        for block in row
    }
    spaces = _spaces(diagram, pitch)
    columns = _columns(diagram, shapes, spaces, least)
    lefts = _spread(diagram, shapes, columns, spaces)
    rows, height = _rows(diagram, shapes)
    blocks = {
        block: Rect(lefts[block], (top + bottom - shapes[block].height) / 2, shapes[block].width, shapes[block].height)
        for (top, bottom), row in zip(rows, diagram.rows, strict=True)
        for block in row
    }
    boxes = {
        spot: Rect(blocks[block].x + inner.x, blocks[block].y + inner.y, inner.width, inner.height)
        for block in blocks
        for spot, inner in shapes[block].boxes.items()
    }
    count = fans(diagram.arcs)
    badges = {(spot, ports): rect for spot, box in boxes.items() for ports, rect in badges_in(spot, box, count)}
    right = columns[-1].right if columns else 0.0
    spans = tuple(Rect(column.x, 0, column.width, height) for column in columns)
    return Places(right, height, blocks, shapes, boxes, labels, badges, rows, spans)


def port_name(ports: Ports) -> str:
    """What the badge of these ports says; () stands for all three."""
    return "".join(ports or ALL_PORTS)


@dataclass(frozen=True)
class Fans:
    """How many arrows leave and reach each box, and at which of its ports, in the order q, k, v."""

    arrows: int
    leaving: Mapping[Spot, int]
    arriving: Mapping[Spot, int]
    ports: Mapping[Spot, Sequence[Ports]]
    at_port: Mapping[tuple[Spot, Ports], int]


def fans(arcs: Sequence[Arc]) -> Fans:
    """Count the arrows at each box."""
    at_port = Counter((arc.head, arc.ports) for arc in arcs if arc.ports is not None)
    ports: dict[Spot, list[Ports]] = defaultdict(list)
    for spot, each in at_port:
        ports[spot].append(each)
    for found in ports.values():
        found.sort(key=lambda ports: [ALL_PORTS.index(port) for port in ports or ALL_PORTS])
    leaving, arriving = Counter(arc.tail for arc in arcs), Counter(arc.head for arc in arcs)
    return Fans(len(arcs), leaving, arriving, ports, at_port)


def pitch_of(arrows: int) -> float:
    """How far apart so many arrows are side by side."""
    return next((pitch for most, pitch in PITCHES if arrows <= most), PITCH_IN_A_CROWD)


def _badge_width(spot: Spot, ports: Ports, count: Fans) -> float:
    """Wide enough for its name and, where there are few arrows, for those that arrive."""
    name = width(port_name(ports), PORT_TEXT) + 8
    if count.arrows > PITCHES[0][0]:
        return name
    return max(name, 6 + pitch_of(count.arrows) * min(count.at_port[spot, ports] - 1, 3))


def box_sizes(diagram: Diagram, labels: Mapping[Spot, str]) -> dict[Spot, tuple[float, float]]:
    """Width and height of every box."""
    count = fans(diagram.arcs)
    parts: dict[Spot, float] = defaultdict(float)
    for (spot, _), part in diagram.patched_ports.items():
        parts[spot] = max(parts[spot], width(f"{part} patched", EFFECT_TEXT) + 6)
    return {spot: _box_size(spot, label, parts.get(spot, 0.0), count, diagram) for spot, label in labels.items()}


def _box_size(spot: Spot, label: str, patched: float, count: Fans, diagram: Diagram) -> tuple[float, float]:
    ports = count.ports.get(spot, ())
    out = count.leaving.get(spot, 0)
    into = 0 if ports else count.arriving.get(spot, 0)
    crowd = count.arrows > PITCHES[0][0]
    fan = 12 + max(2.6 * out, 5 * into) if crowd else 6 + pitch_of(count.arrows) * max(out, into)
    badges = sum(_badge_width(spot, each, count) for each in ports) + 3 * len(ports) + 5
    most = 150.0 if count.arrows <= CROWD else 72.0
    wide = max(46.0, width(label, BOX_TEXT, bold=True) + 12, badges, min(fan, most), patched)
    tall = 22.0 + (PORT_HEIGHT + 1 if ports else 0) + (EFFECT_HEIGHT if spot in diagram.experiments else 0)
    return wide, tall


def badges_in(spot: Spot, box: Rect, count: Fans) -> list[tuple[Ports, Rect]]:
    """The port badges side by side at the lower edge of a box."""
    ports = count.ports.get(spot, ())
    widths = [_badge_width(spot, each, count) for each in ports]
    x = box.center - (sum(widths) + 3 * (len(ports) - 1)) / 2
    placed = []
    for each, wide in zip(ports, widths, strict=True):
        placed.append((each, Rect(x, box.bottom - PORT_HEIGHT, wide, PORT_HEIGHT)))
        x += wide + 3
    return placed


def block_shape(block: Block, arcs: Sequence[Arc], sizes: Mapping[Spot, tuple[float, float]]) -> BlockShape:
    """The inside of a block: lines of boxes of equal size below the group's name."""
    if block.group is None:
        return _lone(block.spots[0], sizes)
    lines = lines_of(block, arcs)
    wide, tall = (max(size[i] for size in map(sizes.__getitem__, block.spots)) for i in (0, 1))
    count = max(map(len, lines))
    space = SPACE_IN_CLUSTER if len(lines) == 1 else SPACE_BETWEEN_LINES
    inner = count * wide + (count - 1) * space
    name = one_line(block.group.label or "") or block.group.name
    header = wrap(name, HEADER_TEXT, max(inner, 140.0), lines=3, bold=True)
    inner = max([inner, *(width(line, HEADER_TEXT, bold=True) for line in header)])
    header_height = HEADER_LINE * len(header) + 6
    total = header_height + 4 + len(lines) * tall + (len(lines) - 1) * LANE + PADDING
    boxes: dict[Spot, Rect] = {}
    for i, line in enumerate(lines):
        y = total - PADDING - tall - i * (tall + LANE)
        x = PADDING + (inner - len(line) * wide - (len(line) - 1) * space) / 2
        for j, spot in enumerate(line):
            boxes[spot] = Rect(x + j * (wide + space), y, wide, tall)
    return BlockShape(inner + 2 * PADDING, total, header, header_height, tuple(lines), boxes)


def _lone(spot: Spot, sizes: Mapping[Spot, tuple[float, float]]) -> BlockShape:
    return BlockShape(*sizes[spot], (), 0.0, ((spot,),), {spot: Rect(0, 0, *sizes[spot])})


def _cells(diagram: Diagram) -> dict[tuple[int, int], list[Block]]:
    cells: dict[tuple[int, int], list[Block]] = defaultdict(list)
    for i, row in enumerate(diagram.rows):
        for block in row:
            cells[i, diagram.columns.index(block.column)].append(block)
    return cells


def _spaces(diagram: Diagram, pitch: float | None) -> list[float]:
    """Between the blocks of each row: room for the arrows that pass it, where they are a crowd or have a pitch."""
    if pitch is None and len(diagram.arcs) <= CROWD:
        return [SPACE_IN_ROW] * len(diagram.rows)
    spaces = list[float]()
    for row, count in zip(diagram.rows, _passing(diagram), strict=True):
        gaps = len(row) + 1 if pitch is None else 2
        needed = 14 + (pitch or pitch_of(len(diagram.arcs))) * count / gaps
        spaces.append(min(max(SPACE_IN_ROW, needed), WIDEST_SPACE))
    return spaces


def _passing(diagram: Diagram) -> list[int]:
    """How many arrows pass each row without ending there."""
    level = {spot: i for i, row in enumerate(diagram.rows) for block in row for spot in block.spots}
    counts = [0] * (len(diagram.rows) + 1)
    for arc in diagram.arcs:
        low, high = sorted((level[arc.tail], level[arc.head]))
        if low + 1 < high:
            counts[low + 1] += 1
            counts[high] -= 1
    return list(accumulate(counts))[:-1]


def _columns(diagram: Diagram, shapes: Mapping[Block, BlockShape], spaces: Sequence[float], least: float) -> list[Rect]:
    widths = [80.0] * len(diagram.columns)
    for (row, column), blocks in _cells(diagram).items():
        needed = sum(shapes[block].width for block in blocks) + spaces[row] * (len(blocks) - 1)
        widths[column] = max(widths[column], needed + 2 * SPACE_OF_COLUMN)
    columns, x = list[Rect](), 0.0
    more = max(least - sum(widths), 0.0) / max(len(widths), 1)
    for wide in (wide + more for wide in widths):
        columns.append(Rect(x, 0, wide, 0))
        x += wide
    return columns


def _spread(
    diagram: Diagram, shapes: Mapping[Block, BlockShape], columns: Sequence[Rect], spaces: Sequence[float]
) -> dict[Block, float]:
    """Left sides: each block near the middle of what it is connected to, in the order that its cell has."""
    home = {spot: block for row in diagram.rows for block in row for spot in block.spots}
    near: dict[Block, list[Block]] = defaultdict(list)
    for arc in diagram.arcs:
        a, b = home[arc.tail], home[arc.head]
        if a is not b:
            near[a].append(b)
            near[b].append(a)
    cells = _cells(diagram)
    middle: dict[Block, float] = {}
    for (row, column), blocks in cells.items():
        middle |= _pack(blocks, dict.fromkeys(blocks, columns[column].center), shapes, columns[column], spaces[row])
    for sweep in range(12):
        for key in sorted(cells, reverse=bool(sweep % 2)):
            blocks = cells[key]
            wish = {b: _mean([middle[n] for n in near[b]]) if near[b] else middle[b] for b in blocks}
            middle |= _pack(blocks, wish, shapes, columns[key[1]], spaces[key[0]])
    return {block: middle[block] - shapes[block].width / 2 for block in middle}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pack(
    blocks: Sequence[Block], wish: Mapping[Block, float], shapes: Mapping[Block, BlockShape], column: Rect, space: float
) -> dict[Block, float]:
    """Middles of the blocks of one cell, in this order, near their wishes."""
    halves = [shapes[block].width / 2 for block in blocks]
    distances = [left + right + space for left, right in pairwise(halves)]
    least, most = column.x + SPACE_OF_COLUMN + halves[0], column.right - SPACE_OF_COLUMN - halves[-1]
    return dict(zip(blocks, settle([wish[block] for block in blocks], distances, least, most), strict=True))


def _rows(diagram: Diagram, shapes: Mapping[Block, BlockShape]) -> tuple[tuple[tuple[float, float], ...], float]:
    """(top, bottom) of each row from the lowest up, and the height of all; busy gaps between rows are taller."""
    level = {spot: i for i, row in enumerate(diagram.rows) for block in row for spot in block.spots}
    heights = [max(shapes[block].height for block in row) for row in diagram.rows]
    changes = Counter[int]()
    for arc in diagram.arcs:
        changes[level[arc.tail] + 1] += 1
        changes[level[arc.head] + 1] -= 1
    crossing = list(accumulate(changes[i] for i in range(len(heights))))
    more, most = (6, 110) if len(diagram.arcs) <= CROWD else (1.5, 76)
    tops, y = list[tuple[float, float]](), 0.0
    for i in reversed(range(len(heights))):
        tops.append((y, y + heights[i]))
        y += heights[i] + (min(50 + more * max(crossing[i], 0) ** 0.5, most) if i else 0)
    return tuple(reversed(tops)), y
