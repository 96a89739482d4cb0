"""Diagram -> Diagram: the order of blocks in each row and column, and of members in each line, with few crossings.

The layered method (Sugiyama et al. 1981; Gansner et al. 1993): arrows that pass rows are cut into steps from row to
row; sweeps put each block at the mean of its neighbours, exchanges of two neighbours follow where these cross less,
and the best order that was seen is kept. The first order is the natural one (groups as the spec
lists them, heads by layer and number) however the claims are ordered: it stays where no other has fewer crossings.
Rows and columns stay as they are.

Own code: networkx has no such method, and Graphviz' dot needs seconds from 1,000 arrows on and knows no columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from circuitgraph.drawing.crossing import gain, inversions, ways
from circuitgraph.drawing.diagram import Block, Diagram, Spot
from circuitgraph.drawing.net import Link, Net, net
from circuitgraph.nodes import layer_of

SWEEPS = 24
FEWER_SWEEPS = 6
FEW = 300
"""Up to so many arrows there is time for more sweeps."""


def ordered(diagram: Diagram) -> Diagram:
    """The same diagram in the order of fewest crossings that was found; it depends on the graph alone."""
    cut = net(natural(diagram))
    state = _given(cut)
    first, least = state.copy(), _crossings(cut, state)
    best, given = first, least
    for sweep in range(SWEEPS if len(diagram.arcs) <= FEW else FEWER_SWEEPS):
        if not least:
            break
        _sweep(cut, state, upwards=sweep % 2 == 0)
        _exchange(cut, state)
        count = _crossings(cut, state)
        if count < least:
            best, least = state.copy(), count
    found = _diagram(cut, best)  # its bends stand elsewhere than those of the sweep that found it: count again
    return found if least == given or crossings(found) < given else _diagram(cut, first)


def crossings(diagram: Diagram) -> int:
    """Pairs of arrows that cross between neighbouring rows in the order that a diagram has."""
    cut = net(diagram)
    return _crossings(cut, _given(cut))


def natural(diagram: Diagram) -> Diagram:
    """Groups as the graph lists them, other blocks and members by layer and number, however claims are ordered."""
    place = {column: i for i, column in enumerate(diagram.columns)}
    listed = {name: i for i, name in enumerate(diagram.groups)}

    def key(block: Block) -> tuple[int, int, tuple[int, int, str]]:
        group = listed[block.group.name] if block.group else len(listed)
        return place[block.column], group, _by_number(block.spots[0])

    rows = []
    for row in diagram.rows:
        blocks = [replace(block, spots=tuple(sorted(block.spots, key=_by_number))) for block in row]
        rows.append(tuple(sorted(blocks, key=key)))
    return replace(diagram, rows=tuple(rows))


def _by_number(spot: Spot) -> tuple[int, int, str]:
    layer = layer_of(spot.node)
    return (-1 if layer is None else layer, getattr(spot.node, "index", -1), str(spot))


@dataclass
class _State:
    """An order, and where things are in it: `x` of blocks and bends, `offset` of each end from its thing's middle."""

    cells: dict[tuple[int, int], list[int]]
    lines: dict[int, list[list[int]]]
    x: list[float]
    offset: list[float]

    def copy(self) -> _State:
        lines = {block: [list(line) for line in lines] for block, lines in self.lines.items()}
        return _State({cell: list(held) for cell, held in self.cells.items()}, lines, list(self.x), list(self.offset))


def _given(cut: Net) -> _State:
    """The order that the diagram has, each cell in the middle of its column, bends above where arrows come from."""
    state = _State(cut.cells, cut.lines, [0.0] * len(cut.near), [0.0] * len(cut.thing)).copy()
    _set_offsets(chain(*state.lines.values()), state)
    for (_, column), held in state.cells.items():
        _pack(cut, held, dict.fromkeys(held, sum(cut.walls[column]) / 2), column, state)
    for bends in cut.bends:
        for bend in bends:
            state.x[bend] = _mean(cut, bend, 0, state)
    return state


def _set_offsets(lines: Iterable[Sequence[int]], state: _State) -> None:
    for line in lines:
        for k, end in enumerate(line):
            state.offset[end] = k - (len(line) - 1) / 2


def _mean(cut: Net, thing: int, side: int, state: _State) -> float:
    """Where the neighbours of a block or bend in the row below (side 0) or above (side 1) would have it."""
    total, weight = 0.0, 0
    for own, at, other, to, count in cut.near[thing][side]:
        total += count * (state.x[cut.thing[other]] + state.offset[other] + to - state.offset[own] - at)
        weight += count
    return total / weight if weight else state.x[thing]


def _sweep(cut: Net, state: _State, *, upwards: bool) -> None:
    """Row by row: each block and bend to the mean of its neighbours in the row before."""
    side = 0 if upwards else 1
    rows = range(len(cut.steps))
    for row in rows if upwards else reversed(rows):
        for bend in cut.bends[row]:
            state.x[bend] = _mean(cut, bend, side, state)
        for (at, column), held in state.cells.items():
            if at == row:
                wish = {i: _mean(cut, i, side, state) for i in held}
                held.sort(key=lambda i: round(wish[i], 6))
                _pack(cut, held, wish, column, state)


def _pack(cut: Net, held: Sequence[int], wish: Mapping[int, float], column: int, state: _State) -> None:
    """The blocks of a cell side by side in this order, around the middle of their wishes."""
    left, right = cut.walls[column]
    total = sum(cut.widths[i] for i in held)
    middle = sum(wish[i] * cut.widths[i] for i in held) / total
    x = min(max(middle - total / 2, left), right - total)
    for i in held:
        state.x[i] = x + cut.widths[i] / 2
        x += cut.widths[i]


def _exchange(cut: Net, state: _State) -> None:
    """Neighbouring blocks, and neighbouring members of a line, change places where their arrows then cross less."""
    for (_, column), held in state.cells.items():
        if _exchanged(cut, held, cut.near.__getitem__, state):
            _pack(cut, held, {i: state.x[i] for i in held}, column, state)
    for block, lines in state.lines.items():
        for line in lines:
            of_end: dict[int, tuple[list[Link], list[Link]]] = {end: ([], []) for end in line}
            for side in (0, 1) if len(line) > 1 else ():
                for link in cut.near[block][side]:
                    if link[0] in of_end:
                        of_end[link[0]][side].append(link)
            if _exchanged(cut, line, of_end.__getitem__, state):
                _set_offsets([line], state)


def _exchanged(cut: Net, order: list[int], near: Callable[[int], tuple[list[Link], list[Link]]], state: _State) -> bool:
    """Exchanges of neighbours until none helps; whether there was one."""
    if len(order) < 2:
        return False
    sides = {
        i: [ways([(state.x[cut.thing[o]] + state.offset[o] + to, n) for _, _, o, to, n in links]) for links in near(i)]
        for i in order
    }
    gains = {(a, b): sum(map(gain, sides[a], sides[b])) for a in order for b in order if a != b}
    changed = False
    for _ in order:
        still = True
        for k in range(len(order) - 1):
            a, b = order[k], order[k + 1]
            if gains[a, b] > 0:
                order[k], order[k + 1] = b, a
                still, changed = False, True
        if still:
            break
    return changed


def _crossings(cut: Net, state: _State) -> int:
    place = [state.x[thing] + offset for thing, offset in zip(cut.thing, state.offset, strict=True)]
    return sum(
        inversions([(place[low] + at, place[high] + to, count) for low, at, high, to, count in links])
        for links in cut.steps
    )


def _diagram(cut: Net, state: _State) -> Diagram:
    """The diagram in an order."""
    rows: list[tuple[Block, ...]] = []
    for row in range(len(cut.steps)):
        cells = sorted(cell for cell in state.cells if cell[0] == row)
        rows.append(tuple(_block(cut, i, state) for cell in cells for i in state.cells[cell]))
    return replace(cut.diagram, rows=tuple(rows))


def _block(cut: Net, i: int, state: _State) -> Block:
    return replace(cut.blocks[i], spots=tuple(cut.spots[end] for line in state.lines[i] for end in line))
