"""Diagram -> Places: sizes and places of boxes and clusters, rows by columns. No curves, no colours.

Distances are points; y grows downwards; the drawing starts at (0, 0).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from circuitgraph.drawing.diagram import Arc, Block, Diagram, Spot
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
SPACE_OF_COLUMN = 20.0
LANE = 22.0
"""Height between the rows of one cluster."""
PITCHES = ((32, 10.0), (60, 6.5))
"""(most arrows, the distance side by side that so many get): up to 32, each has room for the widest line."""
PITCH_IN_A_CROWD = 3.5
PER_LINE = 8
"""Boxes side by side in a cluster before it starts another line."""

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


def place(diagram: Diagram, least: float = 0.0) -> Places:
    """Place a diagram's boxes: columns as wide as their fullest row, each block near what it is connected to.

    Columns are widened until they are `least` wide together.
    """
    labels = {spot: str(spot.node) for row in diagram.rows for block in row for spot in block.spots}
    sizes = box_sizes(diagram, labels)
    shapes = {block: block_shape(block, diagram.arcs, sizes) for row in diagram.rows for block in row}
    columns = _columns(diagram, shapes, least)
    lefts = _spread(diagram, shapes, columns)
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
    badges = {(spot, ports): rect for spot, box in boxes.items() for ports, rect in badges_in(spot, box, diagram.arcs)}
    right = columns[-1].right if columns else 0.0
    spans = tuple(Rect(column.x, 0, column.width, height) for column in columns)
    return Places(right, height, blocks, shapes, boxes, labels, badges, rows, spans)


def port_name(ports: Ports) -> str:
    """What the badge of these ports says; () stands for all three."""
    return "".join(ports or ALL_PORTS)


def ports_of(spot: Spot, arcs: Sequence[Arc]) -> list[Ports]:
    """The ports at which arrows arrive, in the order q, k, v."""
    found = {arc.ports for arc in arcs if arc.head == spot and arc.ports is not None}
    return sorted(found, key=lambda ports: [ALL_PORTS.index(port) for port in ports or ALL_PORTS])


def pitch_of(arcs: Sequence[Arc]) -> float:
    """How far apart arrows side by side are."""
    return next((pitch for most, pitch in PITCHES if len(arcs) <= most), PITCH_IN_A_CROWD)


def _badge_width(spot: Spot, ports: Ports, arcs: Sequence[Arc]) -> float:
    """Wide enough for its name and, where there are few arrows, for those that arrive."""
    name = width(port_name(ports), PORT_TEXT) + 8
    if len(arcs) > PITCHES[0][0]:
        return name
    arriving = sum(arc.head == spot and arc.ports == ports for arc in arcs)
    return max(name, 6 + pitch_of(arcs) * min(arriving - 1, 3))


def box_sizes(diagram: Diagram, labels: Mapping[Spot, str]) -> dict[Spot, tuple[float, float]]:
    """Width and height of every box."""
    return {spot: _box_size(spot, label, diagram) for spot, label in labels.items()}


def _box_size(spot: Spot, label: str, diagram: Diagram) -> tuple[float, float]:
    ports = ports_of(spot, diagram.arcs)
    out = sum(arc.tail == spot for arc in diagram.arcs)
    into = 0 if ports else sum(arc.head == spot for arc in diagram.arcs)
    crowd = len(diagram.arcs) > PITCHES[0][0]
    fan = 12 + max(2.6 * out, 5 * into) if crowd else 6 + pitch_of(diagram.arcs) * max(out, into)
    badges = sum(_badge_width(spot, each, diagram.arcs) for each in ports) + 3 * len(ports) + 5
    parts = {part for (at, _), part in diagram.patched_ports.items() if at == spot}
    patched = max((width(f"{part} patched", EFFECT_TEXT) for part in parts), default=0.0) + 6
    wide = max(46.0, width(label, BOX_TEXT, bold=True) + 12, badges, min(fan, 150.0), patched)
    tall = 22.0 + (PORT_HEIGHT + 1 if ports else 0) + (EFFECT_HEIGHT if spot in diagram.experiments else 0)
    return wide, tall


def badges_in(spot: Spot, box: Rect, arcs: Sequence[Arc]) -> list[tuple[Ports, Rect]]:
    """The port badges side by side at the lower edge of a box."""
    ports = ports_of(spot, arcs)
    widths = [_badge_width(spot, each, arcs) for each in ports]
    x = box.center - (sum(widths) + 3 * (len(ports) - 1)) / 2
    placed = []
    for each, wide in zip(ports, widths, strict=True):
        placed.append((each, Rect(x, box.bottom - PORT_HEIGHT, wide, PORT_HEIGHT)))
        x += wide + 3
    return placed


def block_shape(block: Block, arcs: Sequence[Arc], sizes: Mapping[Spot, tuple[float, float]]) -> BlockShape:
    """The inside of a block: lines of boxes of equal size below the group's name."""
    if block.group is None:
        (spot,) = block.spots
        return BlockShape(*sizes[spot], (), 0.0, ((spot,),), {spot: Rect(0, 0, *sizes[spot])})
    lines = _lines(block, arcs)
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


def _lines(block: Block, arcs: Sequence[Arc]) -> list[tuple[Spot, ...]]:
    """The spots of a cluster by line: senders below their receivers, at most PER_LINE side by side."""
    inner = [(arc.tail, arc.head) for arc in arcs if arc.tail in block.spots and arc.head in block.spots]
    level = dict.fromkeys(block.spots, 0)
    for _ in block.spots:
        for tail, head in inner:
            level[head] = max(level[head], min(level[tail] + 1, len(block.spots)))
    lines: list[tuple[Spot, ...]] = []
    for depth in sorted(set(level.values())):
        spots = [spot for spot in block.spots if level[spot] == depth]
        parts = -(-len(spots) // PER_LINE)
        size = -(-len(spots) // parts)
        lines += [tuple(spots[i : i + size]) for i in range(0, len(spots), size)]
    return lines


def _cells(diagram: Diagram) -> dict[tuple[int, int], list[Block]]:
    cells: dict[tuple[int, int], list[Block]] = defaultdict(list)
    for i, row in enumerate(diagram.rows):
        for block in row:
            cells[i, diagram.columns.index(block.column)].append(block)
    return cells


def _columns(diagram: Diagram, shapes: Mapping[Block, BlockShape], least: float) -> list[Rect]:
    widths = [80.0] * len(diagram.columns)
    for (_, column), blocks in _cells(diagram).items():
        needed = sum(shapes[block].width for block in blocks) + SPACE_IN_ROW * (len(blocks) - 1)
        widths[column] = max(widths[column], needed + 2 * SPACE_OF_COLUMN)
    columns, x = list[Rect](), 0.0
    more = max(least - sum(widths), 0.0) / max(len(widths), 1)
    for wide in (wide + more for wide in widths):
        columns.append(Rect(x, 0, wide, 0))
        x += wide
    return columns


def _spread(diagram: Diagram, shapes: Mapping[Block, BlockShape], columns: Sequence[Rect]) -> dict[Block, float]:
    """Left sides of the blocks, by repeated averaging: first the order in each cell, then the places."""
    home = {spot: block for block in shapes for spot in block.spots}
    near: dict[Block, list[Block]] = defaultdict(list)
    for arc in diagram.arcs:
        tail, head = home[arc.tail], home[arc.head]
        if tail != head:
            near[tail].append(head)
            near[head].append(tail)
    cells = _cells(diagram)
    middle: dict[Block, float] = {}
    for (_, column), blocks in cells.items():
        middle |= _pack(blocks, dict.fromkeys(blocks, columns[column].center), shapes, columns[column])
    for sweep in range(12):
        for key in sorted(cells, reverse=bool(sweep % 2)):
            blocks = cells[key]
            wish = {b: _mean([middle[n] for n in near[b]]) if near[b] else middle[b] for b in blocks}
            if sweep < 8:
                blocks.sort(key=lambda block: round(wish[block]))
            middle |= _pack(blocks, wish, shapes, columns[key[1]])
    return {block: middle[block] - shapes[block].width / 2 for block in middle}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pack(
    blocks: Sequence[Block], wish: Mapping[Block, float], shapes: Mapping[Block, BlockShape], column: Rect
) -> dict[Block, float]:
    """Middles of the blocks of one cell, in this order, near their wishes."""
    halves = [shapes[block].width / 2 for block in blocks]
    distances = [left + right + SPACE_IN_ROW for left, right in pairwise(halves)]
    least, most = column.x + SPACE_OF_COLUMN + halves[0], column.right - SPACE_OF_COLUMN - halves[-1]
    return dict(zip(blocks, settle([wish[block] for block in blocks], distances, least, most), strict=True))


def _rows(diagram: Diagram, shapes: Mapping[Block, BlockShape]) -> tuple[tuple[tuple[float, float], ...], float]:
    """(top, bottom) of each row from the lowest up, and the height of all; busy gaps between rows are taller."""
    level = {spot: i for i, row in enumerate(diagram.rows) for block in row for spot in block.spots}
    heights = [max(shapes[block].height for block in row) for row in diagram.rows]
    tops, y = list[tuple[float, float]](), 0.0
    for i in reversed(range(len(heights))):
        tops.append((y, y + heights[i]))
        crossing = sum(level[arc.tail] < i <= level[arc.head] for arc in diagram.arcs)
        y += heights[i] + (min(50 + 6 * crossing**0.5, 110) if i else 0)
    return tuple(reversed(tops)), y
