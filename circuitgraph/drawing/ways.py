"""Places -> ways: through which gap between blocks the arrows from one block to another pass each row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from circuitgraph.drawing.diagram import Block
from circuitgraph.drawing.layout import CROWD, Places
from circuitgraph.drawing.scene import Rect

MARGIN = 26.0
"""How far arrows may pass outside the outermost blocks."""
MARGIN_OF_A_CROWD = 60.0
CLEARANCE = 7.0
TURN = 40.0
"""What a turn costs, in points of sideways movement."""
NARROW = 30.0
"""What a gap with hardly room for an arrow costs."""
FULL = 60.0
"""What a gap costs that is twice as full as it has room."""
CROSSING = 25.0
"""What it costs to cross an arrow."""
FEW = 80
"""Up to so many arrows there is time to look at what each would cross."""
ROUNDS = 3
MOST_WAYS = 12
"""How many ways are kept in mind while one is looked for."""
MOST_WAYS_IN_A_CROWD = 5

Bundle = tuple[Block, Block]
Step = tuple[float, float, int]
"""From a place in one row to a place in the next, so many arrows."""


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Free room in a row from `left` to `right`; the middle of a bundle stays between `least` and `most`."""

    row: int
    left: float
    right: float
    least: float
    most: float

    def clamp(self, x: float) -> float:
        """The nearest place to `x` for the middle of a bundle."""
        return self.least if x < self.least else self.most if x > self.most else x


@dataclass(frozen=True, slots=True)
class Pass:
    """A way through one row: the gap, and where in it the middle of the bundle would like to be."""

    gap: Gap
    x: float


@dataclass(frozen=True, slots=True)
class _Way:
    """A way found so far, and what its turns cost."""

    cost: float
    x: float
    passes: tuple[Pass, ...] = ()


def find_ways(
    bundles: Mapping[Bundle, int], level: Mapping[Block, int], layout: Places, pitch: float
) -> dict[Bundle, tuple[Pass, ...]]:
    """The gaps that each bundle takes through the rows between its two blocks. `bundles` tells how many arrows.

    Few turns, short ones, where few arrows cross; and where there is room beside the bundles before.
    """
    return _Search(bundles, level, layout, pitch).ways()


class _Search:
    def __init__(self, bundles: Mapping[Bundle, int], level: Mapping[Block, int], layout: Places, pitch: float) -> None:
        self._bundles, self._level, self._layout, self._pitch = bundles, level, layout, pitch
        self._crowd = sum(bundles.values()) > CROWD
        rects: list[list[Rect]] = [[] for _ in layout.rows]
        for block, rect in layout.blocks.items():
            rects[level[block]].append(rect)
        self._gaps = [self._gaps_of(row, sorted(found, key=lambda rect: rect.x)) for row, found in enumerate(rects)]
        self._lefts = [[gap.left for gap in gaps] for gaps in self._gaps]
        self._rights = [[gap.right for gap in gaps] for gaps in self._gaps]
        self._busy = [1 + count / 30 for count in self._traffic()]
        self._used: dict[Gap, int] = {gap: 0 for gaps in self._gaps for gap in gaps}
        self._few = sum(bundles.values()) <= FEW
        self._steps: list[dict[Bundle, Step]] = [{} for _ in layout.rows]

    def ways(self) -> dict[Bundle, tuple[Pass, ...]]:
        found: dict[Bundle, tuple[Pass, ...]] = dict.fromkeys(self._bundles, ())
        if self._few:
            for bundle in self._bundles:
                self._lay(bundle, ())
        for _ in range(1 if not self._few else ROUNDS):
            for bundle, count in self._bundles.items():
                self._lift(bundle, found[bundle])
                found[bundle] = way = self._way(*bundle, count)
                self._lay(bundle, way)
        return found

    def _lay(self, bundle: Bundle, way: Sequence[Pass]) -> None:
        """Take note of where a bundle passes."""
        for each in way:
            self._used[each.gap] += self._bundles[bundle]
        if self._few:
            for row, step in self._steps_of(bundle, way):
                self._steps[row][bundle] = step

    def _lift(self, bundle: Bundle, way: Sequence[Pass]) -> None:
        """Forget it."""
        for each in way:
            self._used[each.gap] -= self._bundles[bundle]
        if self._few:
            for row, _ in self._steps_of(bundle, way):
                self._steps[row].pop(bundle, None)

    def _steps_of(self, bundle: Bundle, way: Sequence[Pass]) -> Iterator[tuple[int, Step]]:
        """Of a bundle that rises: below each row, where it comes from and goes to, and how many arrows it has."""
        tail, head = bundle
        low, high = self._level[tail], self._level[head]
        if low < high and (way or low + 1 == high):
            xs = [self._layout.blocks[tail].center, *(each.x for each in way), self._layout.blocks[head].center]
            for row, (came, goes) in enumerate(pairwise(xs), low + 1):
                yield row, (came, goes, self._bundles[bundle])

    def _crossed(self, row: int, came: float, goes: float) -> int:
        """How many arrows a step from below a row crosses."""
        if not self._few:
            return 0
        return sum(count for a, b, count in self._steps[row].values() if (a - came) * (b - goes) < 0)

    def _gaps_of(self, row: int, rects: Sequence[Rect]) -> list[Gap]:
        margin = MARGIN_OF_A_CROWD if self._crowd else MARGIN
        inner = [(a.right + CLEARANCE, b.x - CLEARANCE) for a, b in pairwise(rects)]
        left = (min(-margin, rects[0].x - margin), rects[0].x - CLEARANCE)
        right = (rects[-1].right + CLEARANCE, max(self._layout.width + margin, rects[-1].right + margin))
        gaps = []
        for least, most in (left, *inner, right):
            middle = (least + most) / 2
            gaps.append(Gap(row, least, most, min(least + 6, middle), max(most - 6, middle)))
        return gaps

    def _traffic(self) -> list[int]:
        """Arrows between each row and the one below."""
        counts = [0] * (len(self._layout.rows) + 2)
        for (tail, head), count in self._bundles.items():
            low, high = sorted((self._level[tail], self._level[head]))
            counts[low + 1] += count
            counts[high + 1] -= count
        return list(accumulate(counts))

    def _way(self, tail: Block, head: Block, count: int) -> tuple[Pass, ...]:
        low, high = self._level[tail], self._level[head]
        if tail == head or low + 1 == high:
            return ()
        rows = range(low + 1, high) if low < high else range(low, high - 1, -1)
        end = self._layout.blocks[head].center
        ways = [_Way(0.0, self._layout.blocks[tail].center)]
        for row in rows:
            ways = self._through(row, ways, end, count)
        last = self._busy[max(low, high)]
        at = max(low, high)

        def whole(way: _Way) -> tuple[float, float]:
            return way.cost + _turn(way.x, end, last) + CROSSING * self._crossed(at, way.x, end), way.x

        return min(ways, key=whole).passes

    def _through(self, row: int, ways: Sequence[_Way], end: float, count: int) -> list[_Way]:
        """The best ways through one more row."""
        busy = self._busy[row]
        ahead: dict[tuple[Gap, int], tuple[float, float, _Way]] = {}
        for way in ways:
            for gap in self._near(row, way.x, end):
                here, there = gap.clamp(way.x), gap.clamp(end)
                extra = way.cost + self._price(gap, count)
                for x in (here,) if here == there else (here, there):
                    cost = extra + _turn(way.x, x, busy) + CROSSING * self._crossed(row, way.x, x)
                    key = gap, round(x)
                    if key not in ahead or cost < ahead[key][0]:
                        ahead[key] = cost, x, way
        kept = sorted(
            ((cost + abs(x - end), x, cost, gap, way) for (gap, _), (cost, x, way) in ahead.items()),
            key=lambda found: found[:2],
        )[: MOST_WAYS_IN_A_CROWD if self._crowd else MOST_WAYS]
        return [_Way(cost, x, (*way.passes, Pass(gap, x))) for _, x, cost, gap, way in kept]

    def _price(self, gap: Gap, count: int) -> float:
        wide = gap.right - gap.left
        price = NARROW if wide < 14 else 0.0
        if self._crowd:
            price += FULL * max((self._used[gap] + count) * self._pitch / max(wide, 1.0) - 1, 0.0)
        return price

    def _near(self, row: int, x: float, end: float) -> list[Gap]:
        """The gaps between here and there, and the next one on either side."""
        least, most = (x, end) if x < end else (end, x)
        first, last = bisect_left(self._rights[row], least), bisect_right(self._lefts[row], most)
        return self._gaps[row][max(first - 1, 0) : last + 1]


def _turn(x0: float, x1: float, busy: float) -> float:
    far = abs(x1 - x0)
    return (far + (TURN if far > 12 else 0.0)) * busy
