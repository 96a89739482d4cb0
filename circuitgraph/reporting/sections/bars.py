"""Values with intervals -> a table whose middle column is a chart: each row its bar, its number and its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuitgraph.reporting.sections.figures import digits_of, figure, percent, span
from circuitgraph.reporting.sections.markup import Child, Markup, element, joined
from circuitgraph.reporting.sections.pieces import folded, table

WIDE, HIGH = 200.0, 14.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: `name` stands before the bar, `cells` after its number."""

    name: Child
    value: float | None
    low: float | None = None
    high: float | None = None
    cells: tuple[Child, ...] = ()
    exact: bool = False
    """Whether there is no interval because there is nothing to doubt."""

    @property
    def undecided(self) -> bool:
        """Whether the interval contains 0; False where there is none."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


@dataclass(frozen=True)
class Scale:
    """The values that the width of a bar's cell stands for."""

    low: float
    high: float
    marks: tuple[float, ...] = (0.0,)
    """Where upright lines stand."""

    @classmethod
    def of(cls, bars: Sequence[Bar], marks: tuple[float, ...] = (0.0,)) -> Scale:
        """Everything that the bars reach, and the marks."""
        known = [x for bar in bars for x in (bar.value, bar.low, bar.high) if x is not None]
        low, high = min((*known, *marks, 0.0)), max((*known, *marks, 0.0))
        room = (high - low or 1.0) * 0.02
        return cls(low - room, high + room, marks)

    def at(self, value: float) -> float:
        """Where a value lies."""
        return round(WIDE * (value - self.low) / (self.high - self.low), 2)


def bar_table(
    bars: Sequence[Bar],
    head: tuple[Child, ...],
    *,
    caption: Child = None,
    shares: bool = False,
    signed: bool = True,
    marks: tuple[float, ...] = (0.0,),
    first: int = 12,
    noun: str = "more",
) -> Markup:
    """The bars as a table; those after the first few are folded away, on the same scale.

    Args:
        head: what stands over name, number and each of `cells`; the column of the chart has no name.
        shares: whether values are shares, shown in percent.
        signed: whether values are shown with their sign.
        marks: where upright lines stand.
        noun: what the folded ones are called: `12 more edges`.
    """
    scale = Scale.of(bars, marks)
    digits = digits_of(x for bar in bars for x in (bar.value,))

    def said(value: float | None) -> Markup:
        return percent(value, sign=signed) if shares else figure(value, digits, sign=signed)

    def made(some: Sequence[Bar], title: Child) -> Markup:
        rows = [_row(bar, scale, said, digits, shares=shares, signed=signed) for bar in some]
        return table((head[0], "", *head[1:]), rows, caption=title, kind="s-table s-bars")

    found = made(bars[:first], caption)
    if rest := bars[first:]:
        more = folded(f"{len(rest):,} {noun}", made(rest, None))
        return Markup(found + more)
    return found


def _row(
    bar: Bar, scale: Scale, said: Callable[[float | None], Markup], digits: int, *, shares: bool, signed: bool
) -> tuple[Child, ...]:
    doubt = signed and bar.undecided
    remark = element("small", {"class": "s-doubt"}, "contains 0") if doubt else None
    interval = None if bar.exact else joined(" ", span(bar.low, bar.high, digits, shares=shares))
    number = element("span", {"class": "s-value"}, said(bar.value), interval, remark)
    return (bar.name, drawn(bar, scale, signed=signed), number, *bar.cells)


def drawn(bar: Bar, scale: Scale, *, signed: bool) -> Markup:
    """The bar itself: from 0 to its value, hollow where the interval contains 0; the interval over it."""
    lines = [_upright(scale.at(mark), "s-zero" if mark == 0 else "s-mark") for mark in scale.marks]
    shapes: list[Markup] = []
    if bar.value is not None:
        zero, end = scale.at(0.0), scale.at(bar.value)
        kind = ("s-und" if bar.undecided else "s-pos" if bar.value >= 0 else "s-neg") if signed else "s-share"
        wide = max(abs(end - zero), 0.6)
        shapes.append(element("rect", {"class": kind, "x": min(zero, end), "y": 3, "width": wide, "height": HIGH - 6}))
    if bar.low is not None and bar.high is not None:
        shapes += whisker(scale.at(bar.low), scale.at(bar.high), HIGH / 2, 2.5)
    view = f"0 0 {WIDE:g} {HIGH:g}"
    attributes = {"class": "s-bar", "viewBox": view, "preserveAspectRatio": "none", "aria-hidden": "true"}
    return element("svg", attributes, *lines, *shapes)


def whisker(low: float, high: float, y: float, half: float) -> list[Markup]:
    """An interval: a line with its ends."""
    ends = [(low, y, high, y), (low, y - half, low, y + half), (high, y - half, high, y + half)]
    return [_line(*end, "s-ci") for end in ends]


def _upright(x: float, kind: str) -> Markup:
    return _line(x, 0, x, HIGH, kind)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    place = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return element("line", {"class": kind, **place, "vector-effect": "non-scaling-stroke"})
