"""Diagram -> Net: blocks, and arrows cut into steps from row to row, as numbers that an order is looked for in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from circuitgraph.drawing.diagram import Arc, Block, Diagram, Spot
from circuitgraph.nodes import ALL_PORTS, Port

PER_LINE = 8
"""Boxes side by side in a cluster before it starts another line."""
PORT_PLACE = {Port.Q: -0.25, Port.K: 0.0, Port.V: 0.25}
"""Where a port is on its box, from the middle; a box is one unit wide."""
SPACE = 0.5
"""Between blocks."""

Link = tuple[int, float, int, float, int]
"""An end, a place on it, another end, a place on that, and how many arrows lead from one to the other."""


@dataclass(frozen=True)
class Net:
    """Things stand in rows: blocks first, then bends, where arrows pass a row. Ends are boxes and bends."""

    diagram: Diagram
    blocks: tuple[Block, ...]
    spots: tuple[Spot, ...]
    """The ends that are boxes."""
    thing: tuple[int, ...]
    """End → the block or bend it belongs to."""
    cells: dict[tuple[int, int], list[int]]
    """Row and column → blocks, as the diagram has them."""
    lines: dict[int, list[list[int]]]
    """Block → its ends, line by line."""
    bends: list[list[int]]
    """Row → things."""
    steps: list[list[Link]]
    """Row → the links to the row above."""
    near: list[tuple[list[Link], list[Link]]]
    """Thing → its links to the row below and to the row above, own end first."""
    widths: list[float]
    walls: list[tuple[float, float]]
    """Left and right side of each column: as wide as its fullest row."""


def lines_of(block: Block, arcs: Iterable[Arc]) -> list[tuple[Spot, ...]]:
    """The spots of a cluster by line: senders below their receivers, at most PER_LINE side by side."""
    held = set(block.spots)
    inner = [(arc.tail, arc.head) for arc in arcs if arc.tail in held and arc.head in held]
    level = dict.fromkeys(block.spots, 0)
    for _ in block.spots if inner else ():
        for tail, head in inner:
            level[head] = max(level[head], min(level[tail] + 1, len(block.spots)))
    lines: list[tuple[Spot, ...]] = []
    for depth in sorted(set(level.values())):
        spots = [spot for spot in block.spots if level[spot] == depth]
        parts = -(-len(spots) // PER_LINE)
        size = -(-len(spots) // parts)
        lines += [tuple(spots[i : i + size]) for i in range(0, len(spots), size)]
    return lines


def net(diagram: Diagram) -> Net:
    """Cut a diagram's arrows; those between the same two blocks share their bends."""
    blocks = [block for row in diagram.rows for block in row]
    row = [i for i, blocks_in in enumerate(diagram.rows) for _ in blocks_in]
    place = {column: i for i, column in enumerate(diagram.columns)}
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    spots, thing, lines = list[Spot](), list[int](), dict[int, list[list[int]]]()
    inside = _inside(blocks, diagram.arcs)
    for i, block in enumerate(blocks):
        cells[row[i], place[block.column]].append(i)
        lines[i] = []
        for line in lines_of(block, inside[i]):
            lines[i].append(list(range(len(spots), len(spots) + len(line))))
            spots += line
            thing += [i] * len(line)
    bends: list[list[int]] = [[] for _ in diagram.rows]
    steps = _steps(diagram.arcs, {spot: end for end, spot in enumerate(spots)}, thing, row, bends)
    near: list[tuple[list[Link], list[Link]]] = [([], []) for _ in range(max(thing, default=-1) + 1)]
    for links in steps:
        for low, at, high, to, count in links:
            near[thing[low]][1].append((low, at, high, to, count))
            near[thing[high]][0].append((high, to, low, at, count))
    widths = [max(map(len, lines[i])) + SPACE for i in range(len(blocks))]
    walls, x = list[tuple[float, float]](), 0.0
    for column in range(len(diagram.columns)):
        wide = 1 + max(sum(widths[i] for i in held) for (_, c), held in cells.items() if c == column)
        walls.append((x, x + wide))
        x += wide
    return Net(
        diagram, tuple(blocks), tuple(spots), tuple(thing), dict(cells), lines, bends, steps, near, widths, walls
    )


def _inside(blocks: list[Block], arcs: Iterable[Arc]) -> list[list[Arc]]:
    """Of each block, the arrows between its own boxes."""
    home = {spot: i for i, block in enumerate(blocks) for spot in block.spots}
    found: list[list[Arc]] = [[] for _ in blocks]
    for arc in arcs:
        if home[arc.tail] == home[arc.head]:
            found[home[arc.tail]].append(arc)
    return found


def _steps(
    arcs: Iterable[Arc], ends: dict[Spot, int], thing: list[int], row: list[int], bends: list[list[int]]
) -> list[list[Link]]:
    """Arrows in steps from row to row; `thing` and `bends` get the bends that are made."""
    shared: dict[tuple[int, int], list[int]] = {}
    counts: dict[tuple[int, int, float, int, float], int] = defaultdict(int)
    things = len(row)
    for arc in arcs:
        (low, at), (high, to) = (ends[arc.tail], 0.0), (ends[arc.head], _port_place(arc))
        if row[thing[low]] > row[thing[high]]:
            (low, at), (high, to) = (high, to), (low, at)
        first, last = row[thing[low]], row[thing[high]]
        if (thing[low], thing[high]) not in shared:
            new = shared[thing[low], thing[high]] = []
            for passed in range(first + 1, last):
                new.append(len(thing))
                thing.append(things)
                bends[passed].append(things)
                things += 1
        chain = [low, *shared[thing[low], thing[high]], high]
        for k, (one, other) in enumerate(pairwise(chain)):
            if first < last:
                key = first + k, one, at if k == 0 else 0.0, other, to if k == len(chain) - 2 else 0.0
                counts[key] += 1
    steps: list[list[Link]] = [[] for _ in bends]
    for (lower, one, start, other, end), count in counts.items():
        steps[lower].append((one, start, other, end, count))
    return steps


def _port_place(arc: Arc) -> float:
    if arc.ports is None:
        return 0.0
    ports = [port for port in arc.ports or ALL_PORTS if port in PORT_PLACE]
    return sum(PORT_PLACE[port] for port in ports) / len(ports) if ports else 0.0
