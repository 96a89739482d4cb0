"""The effects written beside the strongest arrows: close to their own, clear of every other, or left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import hypot

from circuitgraph.drawing.curves import spaced
from circuitgraph.drawing.scene import Arrow, Panel, Rect, Text
from circuitgraph.drawing.style import CROWD, PAPER, Finding, Verdict, signed, verdict
from circuitgraph.drawing.text import width

MOST = 24
"""Notes in a picture; the effects of weaker arrows are in their tooltips."""
SIZE = 9.5
HEIGHT = 8.5
GAP = 2.5
"""Between a note and its own line."""
CLEAR = 6.0
"""Between a note and any other line, at least."""
APART = 12.0
"""From this distance on, another line does not raise the question whose note it is."""
STEP = 5.0
"""Between the points at which lines are looked at."""
FAINT = 0.5
"""Among very many arrows, a note may cover what is paler than this."""
CELL = 20
"""Points on lines are looked up in squares of this size."""


def notes(arrows: Sequence[Arrow], obstacles: Sequence[Rect], found: Finding, area: Rect) -> tuple[Panel, ...]:
    """One note for each of the strongest experiments that has an arrow with room beside it.

    `arrows` are ordered from the weakest to the strongest; notes stay in the area and keep off
    the obstacles and each other. Effects that may be 0 get none.
    """
    if not found.rows:
        return ()
    crowd = len(arrows) > CROWD
    lines = _Lines(arrows, least=FAINT if crowd else 0.0)
    placed: dict[str, Panel] = {}
    for i, arrow in reversed(list(enumerate(arrows))):
        row = found.rows.get(arrow.id)
        if row is None or arrow.id in placed or found.rank[arrow.id] >= MOST or verdict(row) is Verdict.UNDECIDED:
            continue
        text = signed(row.effect, found.digits)
        taken = [*obstacles, *(panel.rect for panel in placed.values())]
        rect = _best(i, arrow, width(text, SIZE, bold=True) + 1, taken, lines, area)
        if rect:
            label = Text(rect.center, rect.bottom - 0.8, text, SIZE, arrow.stroke.color, bold=True, anchor="middle")
            placed[arrow.id] = Panel(rect, PAPER if crowd else None, radius=2.0, texts=(label,))
    return tuple(placed.values())


class _Lines:
    """The arrows of at least this opacity as points with the half width of their line, to be looked up by place."""

    def __init__(self, arrows: Sequence[Arrow], least: float) -> None:
        self._cells: dict[tuple[int, int], list[tuple[float, float, float, int]]] = defaultdict(list)
        for i, arrow in enumerate(arrows):
            if arrow.stroke.opacity < least:
                continue
            for x, y in spaced(arrow.curve, STEP):
                self._add(x, y, arrow.stroke.width / 2, i)
            (x0, y0), (x1, y1) = arrow.curve[-1], arrow.tip[0]
            for t in (0.0, 0.3, 0.6):
                self._add(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t, arrow.stroke.tip_width / 2 * (1 - t), i)

    def _add(self, x: float, y: float, half: float, i: int) -> None:
        self._cells[int(x // CELL), int(y // CELL)].append((x, y, half, i))

    def room(self, rect: Rect, own: int) -> float | None:
        """How far the nearest line but arrow `own` is from a rectangle, at most APART; None = some line is too near."""
        left, top, right, bottom = rect.x, rect.y, rect.right, rect.bottom
        nearest = APART
        for column in range(int((left - APART) // CELL), int((right + APART) // CELL) + 1):
            for row in range(int((top - APART) // CELL), int((bottom + APART) // CELL) + 1):
                for x, y, half, i in self._cells.get((column, row), ()):
                    dx = left - x if x < left else x - right if x > right else 0.0
                    dy = top - y if y < top else y - bottom if y > bottom else 0.0
                    distance = (dx * dx + dy * dy) ** 0.5 - half
                    if distance < (GAP / 2 if i == own else CLEAR):
                        return None
                    if distance < nearest and i != own:
                        nearest = distance
        return nearest


def _best(i: int, arrow: Arrow, wide: float, taken: Iterable[Rect], lines: _Lines, area: Rect) -> Rect | None:
    """The place nearest to the arrow's middle, the farther from other lines the better; None = there is no room."""
    xs, ys = [x for x, _ in arrow.curve], [y for _, y in arrow.curve]
    around = Rect(min(xs) - 2 * wide, min(ys) - 2 * wide, max(xs) - min(xs) + 4 * wide, max(ys) - min(ys) + 4 * wide)
    near = [rect for rect in taken if rect.overlaps(around)]
    best: tuple[float, Rect] | None = None
    for cost, rect in sorted(_places(arrow, wide), key=lambda place: place[0]):
        if best is not None and cost >= best[0]:
            break
        if not area.holds(rect) or any(rect.overlaps(other, 3) for other in near):
            continue
        room = lines.room(rect, i)
        if room is not None and (best is None or cost + 1 - room / APART < best[0]):
            best = cost + 1 - room / APART, rect
    return best[1] if best else None


def _places(arrow: Arrow, wide: float) -> Iterator[tuple[float, Rect]]:
    """(cost, place): on either side of points on the arrow, as near as its direction there allows."""
    along = spaced(arrow.curve, STEP)
    for n, ((x0, y0), (x1, y1)) in enumerate(pairwise(along)):
        long = hypot(x1 - x0, y1 - y0)
        across = (y0 - y1) / long, (x1 - x0) / long
        aside = abs(across[0]) * wide / 2 + abs(across[1]) * HEIGHT / 2 + arrow.stroke.width / 2 + GAP
        for side in (1, -1):
            x, y = x0 + side * aside * across[0], y0 + side * aside * across[1]
            far = abs((n + 0.5) / (len(along) - 1) - 0.5)
            yield far + (0.01 if side < 0 else 0.0), Rect(x - wide / 2, y - HEIGHT / 2, wide, HEIGHT)
