"""Curves: chains of cubic Béziers, the points on them, and how dashes fall along them. Lengths are points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from math import hypot

from circuitgraph.drawing.scene import Point, Stroke

Curve = tuple[Point, ...]


def smooth(way: Sequence[Point], shifts: Sequence[float]) -> Curve:
    """Cubic Béziers through the points, upright at each of them; steps of no length are dropped.

    A step upwards does most of its sideways movement half way up; `shifts` moves that place for each step.
    """
    steps = [
        (a, b, shift)
        for (a, b), shift in zip(pairwise(way), shifts, strict=True)
        if abs(a[0] - b[0]) > 0.01 or abs(a[1] - b[1]) > 0.01
    ]
    curve = [way[0]]
    for i, ((x0, y0), (x1, y1), shift) in enumerate(steps):
        if y1 < y0:
            bend0, bend1 = (y1 - y0) / 2 + shift, (y1 - y0) / 2 - shift
        else:  # downwards or level: leave and arrive in the direction of the neighbouring steps
            bend0 = -24.0 if i == 0 or y0 < steps[i - 1][0][1] else (y1 - y0) / 2 or 24.0
            bend1 = -24.0 if i == len(steps) - 1 or steps[i + 1][1][1] < y1 else (y1 - y0) / 2 or 24.0
        curve += [(x0, y0 + bend0), (x1, y1 - bend1), (x1, y1)]
    return tuple(curve)


@cache
def _bernstein(steps: int) -> tuple[tuple[float, float, float, float], ...]:
    """The weights of a cubic's four points at `steps` places along it."""
    weights = []
    for k in range(steps):
        t = k / steps
        weights.append(((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3))
    return tuple(weights)


def points(curve: Curve, steps: int = 24) -> list[Point]:
    """Points along a curve, `steps` to each of its Béziers, without the last."""
    along = []
    for i in range(0, len(curve) - 1, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve[i : i + 4]
        along += [
            (a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3) for a, b, c, d in _bernstein(steps)
        ]
    return along


def _corners(curve: Curve, steps: int) -> list[Point]:
    """A line of straight pieces along a curve; where this runs straight up or down, one piece."""
    along = []
    for i in range(0, len(curve) - 1, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = piece = curve[i : i + 4]
        straight = x0 == x1 == x2 == x3 and (y0 >= y1 >= y2 >= y3 or y0 <= y1 <= y2 <= y3)
        along += piece[:1] if straight else points(piece, steps)
    return [*along, curve[-1]]


def spaced(curve: Curve, distance: float) -> list[Point]:
    """The start of a curve and the points along it, each `distance` after the one before."""
    along, left = [curve[0]], distance
    for (x0, y0), (x1, y1) in pairwise(_corners(curve, 24)):
        long = hypot(x1 - x0, y1 - y0)
        while left < long:
            along.append((x0 + (x1 - x0) * left / long, y0 + (y1 - y0) * left / long))
            left += distance
        left -= long
    return along


def length(curve: Curve) -> float:
    """The length of a curve, to a part in a thousand."""
    return sum(hypot(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(_corners(curve, 12)))


def dashes(curve: Curve, stroke: Stroke) -> tuple[float, float] | None:
    """Dash and gap of a line, stretched so that it begins and ends with a whole dash: its arrowhead stays attached."""
    if stroke.pattern is None:
        return None
    on, off = stroke.pattern
    whole = length(curve)
    count = max(round((whole + off) / (on + off)), 2)
    factor = whole / (count * on + (count - 1) * off)
    return (on * factor, off * factor) if factor else None
