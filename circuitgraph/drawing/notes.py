"""The effects written beside the strongest arrows, where there is room for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from circuitgraph.drawing.routes import Curve
from circuitgraph.drawing.scene import Arrow, Panel, Point, Rect, Text
from circuitgraph.drawing.style import PAPER, Finding, Verdict, signed, verdict
from circuitgraph.drawing.text import width

MOST = 12
SIZE = 9.5
HEIGHT = 12.5
CELL = 20
"""Points on arrows are looked up in squares of this size."""
TOLERATED = 2
"""A note that would hide more arrows than this is left out."""
STRONGER = 3
"""So many arrows a stronger one counts for."""

Crowd = Mapping[tuple[int, int], Sequence[tuple[Point, int]]]


def notes(arrows: Sequence[Arrow], obstacles: Sequence[Rect], found: Finding) -> tuple[Panel, ...]:
    """One note for each of the strongest experiments; beside its arrow if that is free, else on it.

    `arrows` are ordered from the weakest to the strongest; notes keep off the obstacles and each other.
    """
    crowd: dict[tuple[int, int], list[tuple[Point, int]]] = defaultdict(list)
    for i, arrow in enumerate(arrows):
        for x, y in points(arrow.curve):
            crowd[int(x // CELL), int(y // CELL)].append(((x, y), i))
    placed: dict[str, Panel] = {}
    for i, arrow in reversed(list(enumerate(arrows))):
        row = found.rows.get(arrow.id)
        if row is None or arrow.id in placed or found.rank[arrow.id] >= MOST or verdict(row) is Verdict.UNDECIDED:
            continue
        text = signed(row.effect, found.digits)
        taken = [*obstacles, *(panel.rect for panel in placed.values())]
        rect = _best(i, arrow, width(text, SIZE, bold=True) + 4, taken, crowd)
        if rect:
            label = Text(rect.center, rect.bottom - 3, text, SIZE, arrow.stroke.color, bold=True, anchor="middle")
            placed[arrow.id] = Panel(rect, PAPER, None, 3.0, (label,))
    return tuple(placed.values())


def _best(i: int, arrow: Arrow, wide: float, taken: Sequence[Rect], crowd: Crowd) -> Rect | None:
    """The place that hides the fewest arrows; among equal ones beside the arrow, near its middle."""
    best: tuple[tuple[float, float], Rect] | None = None
    for cost, rect in _places(arrow, wide):
        if any(rect.overlaps(other, 3) for other in taken):
            continue
        hidden = _within(rect, crowd)
        if cost < 1 and hidden:  # beside the arrow means beside all arrows
            continue
        score = (float(sum(STRONGER if other > i else 1 for other in hidden - {i})), cost)
        if best is None or score < best[0]:
            best = score, rect
    return best[1] if best and best[0][0] <= TOLERATED else None


def _places(arrow: Arrow, wide: float) -> Iterator[tuple[float, Rect]]:
    """(cost, place): right and left of points on the arrow at a cost below 1, on the arrow above."""
    along = points(arrow.curve, 12)
    aside = wide / 2 + arrow.stroke.width / 2 + 2
    for n, (x, y) in enumerate(along):
        far = abs(n / len(along) - 0.5)
        for cost, middle in ((far, x + aside), (far + 0.01, x - aside), (far + 1, x)):
            yield cost, Rect(middle - wide / 2, y - HEIGHT / 2, wide, HEIGHT)


def _within(rect: Rect, crowd: Crowd) -> set[int]:
    """The arrows that run through a rectangle."""
    columns = range(int(rect.x // CELL), int(rect.right // CELL) + 1)
    rows = range(int(rect.y // CELL), int(rect.bottom // CELL) + 1)
    return {i for x in columns for y in rows for point, i in crowd.get((x, y), ()) if rect.contains(point)}


def points(curve: Curve, steps: int = 24) -> list[Point]:
    """Points along a chain of cubic Béziers, `steps` to each, without the last."""
    along = []
    for i in range(0, len(curve) - 1, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve[i : i + 4]
        for k in range(steps):
            t = k / steps
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            along.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return along
