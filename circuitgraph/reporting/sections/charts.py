"""Numbers -> small charts as SVG: a line with its band, dots along a line, dots on a plane. Own SVG, no library.

Charts are as wide as a phone; on a wider page they stand side by side. Each has its meaning as a label in words, and
its numbers stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from circuitgraph.plotting.labels import cut
from circuitgraph.reporting.sections.figures import shown
from circuitgraph.reporting.sections.markup import Markup, element
from circuitgraph.reporting.sections.pieces import LONGEST

WIDE = 340.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 38.0
Said = Callable[[float], str]
BEYOND = 0.08
"""A value may lie so much of a step beyond the last tick."""
DECADES = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high`, what they are called, and how they are written."""

    low: float
    high: float
    name: str
    said: Said
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float], name: str, said: Said | None = None, *, most: int = 5) -> Axis:
        """An axis that holds all values, with some round ticks; said as numbers, unless something else is given."""
        known = list(values)
        low, high = min(known), max(known)
        if low == high:
            low, high = low - 0.5, high + 0.5
        step = _round_step((high - low) / most)
        below, above = low / step, high / step
        first, last = math.floor(below + BEYOND), math.ceil(above - BEYOND)
        ticks = tuple(round(i * step, 12) for i in range(first, last + 1))
        digits = max(0, -math.floor(math.log10(step)))
        return cls(min(ticks[0], low), max(ticks[-1], high), name, said or (lambda at: shown(at, digits)), ticks)

    @classmethod
    def powers(cls, values: Iterable[float], name: str) -> tuple[Axis, Callable[[float], float]]:
        """An axis of sizes from 1/10,000 of the largest to the largest, each power of ten as wide; and their places.

        What is smaller, 0 too, lies at its left end.
        """
        top = math.ceil(math.log10(max(max(values), 1e-300)) - BEYOND)
        low = top - DECADES
        ticks = tuple(float(at) for at in range(low, top + 1))
        axis = cls(low, top, name, lambda at: f"{'≤ ' if at == low else ''}{10.0**at:g}", ticks)
        return axis, lambda value: math.log10(max(value, 10.0**low))

    def at(self, value: float, start: float, end: float) -> float:
        """Where a value lies between two places."""
        return round(start + (end - start) * (value - self.low) / (self.high - self.low), 2)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


class Chart:
    """A chart under construction: axes first, then what lies between them."""

    def __init__(self, x: Axis, y: Axis | None, high: float, label: str) -> None:
        self._x, self._y, self._high, self._label = x, y, high, label
        self._shapes: list[Markup] = []
        self._axes()

    @property
    def foot(self) -> float:
        """Where the lower axis lies."""
        return self._high - BOTTOM

    def x(self, value: float) -> float:
        """From left to right."""
        return self._x.at(value, LEFT, WIDE - RIGHT)

    def y(self, value: float) -> float:
        """From the bottom up."""
        if self._y is None:
            raise ValueError("this chart has one axis")
        return self._y.at(value, self.foot, TOP)

    def add(self, *shapes: Markup) -> None:
        """Put something on top."""
        self._shapes += shapes

    def polyline(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Straight lines through points."""
        self.add(element("polyline", {"class": kind, "points": _points((self.x(a), self.y(b)) for a, b in points)}))

    def polygon(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """An area."""
        self.add(element("polygon", {"class": kind, "points": _points((self.x(a), self.y(b)) for a, b in points)}))

    def dot(self, x: float, y: float, kind: str, title: str, radius: float = 3.2) -> None:
        """A dot at a place of the page, with what it is."""
        self.add(
            element(
                "circle", {"class": kind, "cx": x, "cy": y, "r": radius}, element("title", None, cut(title, LONGEST))
            )
        )

    def diamond(self, x: float, y: float, kind: str, title: str, size: float = 6.5) -> None:
        """A mark that stands out."""
        corners = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)]
        self.add(
            element("polygon", {"class": kind, "points": _points(corners)}, element("title", None, cut(title, LONGEST)))
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A line between two places of the page."""
        self.add(element("line", {"class": kind, "x1": x1, "y1": y1, "x2": x2, "y2": y2}))

    def text(self, x: float, y: float, words: str, kind: str = "s-tick", anchor: str = "middle") -> None:
        """Words at a place of the page."""
        self.add(element("text", {"class": kind, "x": x, "y": y, "text-anchor": anchor}, words))

    def made(self) -> Markup:
        """The chart."""
        attributes = {"class": "s-chart", "viewBox": f"0 0 {WIDE:g} {self._high:g}", "role": "img"}
        return element("svg", {**attributes, "aria-label": self._label}, *self._shapes)

    def _axes(self) -> None:
        foot = self.foot
        for tick in self._x.ticks:
            at = self.x(tick)
            self.line(at, TOP if self._y is None else foot, at, foot + 4, "s-grid" if self._y is None else "s-axis")
            self.text(at, foot + 16, self._x.said(tick))
        self.text((LEFT + WIDE - RIGHT) / 2, self._high - 5, self._x.name, "s-axis-name")
        if self._y is not None:
            for tick in self._y.ticks:
                at = self.y(tick)
                self.line(LEFT, at, WIDE - RIGHT, at, "s-zero" if tick == 0 else "s-grid")
                self.text(LEFT - 6, at + 4, self._y.said(tick), anchor="end")
        self.line(LEFT, foot, WIDE - RIGHT, foot, "s-axis")


class Swarm:
    """Dots along a line that do not cover each other: stacked, closer where there are very many in one place."""

    def __init__(self, values: Sequence[float], axis: Axis, radius: float, most: float = 90.0) -> None:
        """`most`: how high they may be stacked."""
        self._radius, self._values = radius, values
        self._apart = 2 * radius + 0.5
        heights: dict[int, int] = {}
        self._levels: list[tuple[float, int]] = []
        for value in values:
            column = round(axis.at(value, LEFT, WIDE - RIGHT) / self._apart)
            self._levels.append((column * self._apart, heights.get(column, 0)))
            heights[column] = heights.get(column, 0) + 1
        tallest = max(heights.values(), default=0)
        self._step = min(self._apart, most / max(tallest, 1))
        self.high = tallest * self._step
        """How high the highest stack is."""

    def places(self, chart: Chart) -> list[tuple[float, float]]:
        """Where each dot lies, in the order of the values."""
        foot = chart.foot - self._radius - 1.5
        return [(round(x, 2), round(foot - level * self._step, 2)) for x, level in self._levels]


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)
