"""Pairs of numbers with their intervals -> a scene: B against A on equal axes, a diagonal, names at what stands out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from circuitgraph.drawing.scene import Dash, Panel, Rect, Sample, Scene, Stroke, Text
from circuitgraph.drawing.style import INK, LINE, NEGATIVE, PAPER, POSITIVE, SOFT_INK, UNDECIDED, number, signed, tint
from circuitgraph.drawing.text import fit, width, wrap

SIDE = 380.0
LEFT, TOP, RIGHT, BOTTOM = 74.0, 84.0, 24.0, 128.0
DOT = 3.4
TEXT = 9.5
NAMED = 8
WITH_BARS = 200
"""More points than this are drawn without their intervals."""
MOST = 2000
"""More points than this are too many for a picture: the largest are drawn."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One experiment in both runs; `low` and `high` are the ends of the intervals, `difference` B − A and its."""

    label: str
    a: float
    b: float
    a_low: float | None
    a_high: float | None
    b_low: float | None
    b_high: float | None
    difference: float
    low: float | None
    high: float | None

    @property
    def color(self) -> str:
        """The hue of the difference; grey where its interval contains 0, or there is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return UNDECIDED
        return POSITIVE if self.difference > 0 else NEGATIVE


def scatter(
    dots: Sequence[Dot], *, a: str, b: str, title: str, subtitle: Sequence[str] = (), quantity: str = "effect"
) -> Scene:
    """A scene of fixed size, whatever labels and numbers there are. `a`, `b`: what the two runs are called."""
    shown = sorted(dots, key=lambda dot: -max(abs(dot.a), abs(dot.b)))[:MOST]
    frame = Rect(LEFT, TOP, SIDE, SIDE)
    axis = _Axis.of(shown, frame)
    limit = SIDE + LEFT + RIGHT - 48
    texts = [Text(24, 38, fit(title, 17, limit, bold=True), 17, INK, bold=True)]
    notes = [*subtitle]
    if len(shown) < len(dots):
        notes.append(f"The {len(shown):,} largest of {len(dots):,} experiments.")
    for i, line in enumerate(line for note in notes for line in wrap(note, 11.5, limit, lines=1)):
        texts.append(Text(24, 57 + 15 * i, line, 11.5, SOFT_INK))
    lines = [*axis.lines()]
    if len(shown) <= WITH_BARS:
        lines += [line for dot in shown for line in _bars(dot, axis)]
    # The smallest first: the largest lie on top.
    points = [_point(dot, axis) for dot in reversed(shown)]
    texts += [*axis.texts(), *_axis_names(fit(a, 11, SIDE - 90), fit(b, 11, SIDE - 90), quantity, frame)]
    key, bottom = _key(shown, frame)
    return Scene(
        width=math.ceil(frame.right + RIGHT),
        height=math.ceil(bottom + 24),
        title=title,
        description=f"{quantity} in {b} against {quantity} in {a}: {len(dots)} experiments.",
        columns=(Panel(frame, PAPER, Stroke(LINE, 1.0)),),
        clusters=(),
        arrows=(),
        headers=(),
        boxes=(),
        tags=tuple(points),
        notes=tuple(_names(shown, axis, frame)),
        texts=tuple(texts),
        legend=key,
        lines=tuple(lines),
    )


@dataclass(frozen=True)
class _Axis:
    """Both axes: the same numbers at the same distances."""

    low: float
    high: float
    step: float
    frame: Rect

    @classmethod
    def of(cls, dots: Sequence[Dot], frame: Rect) -> _Axis:
        """Around all points and 0; intervals that reach far beyond the points are cut."""
        values = [value for dot in dots for value in (dot.a, dot.b)]
        low, high = min([0.0, *values]), max([0.0, *values])
        room = 0.35 * (high - low)
        if len(dots) <= WITH_BARS:
            ends = [x for dot in dots for x in (dot.a_low, dot.a_high, dot.b_low, dot.b_high) if x is not None]
            low, high = max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)
        if low == high:
            low, high = -1.0, 1.0
        step = _nice((high - low) / 5)
        pad = 0.04 * (high - low)
        return cls(low - pad, high + pad, step, frame)

    def x(self, value: float) -> float:
        return self.frame.x + self.frame.width * self._share(value)

    def y(self, value: float) -> float:
        return self.frame.bottom - self.frame.height * self._share(value)

    def _share(self, value: float) -> float:
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        first, last = math.ceil(self.low / self.step), math.floor(self.high / self.step)
        return [i * self.step for i in range(first, last + 1)]

    def lines(self) -> list[Sample]:
        frame, zero, grid = self.frame, Stroke(SOFT_INK, 0.9), Stroke("#e3e8ee", 0.8)
        found: list[Sample] = []
        for tick in self.ticks():
            stroke = zero if tick == 0 else grid
            found.append(_line(self.x(tick), frame.y, self.x(tick), frame.bottom, stroke))
            found.append(_line(frame.x, self.y(tick), frame.right, self.y(tick), stroke))
        return [*found, _line(frame.x, frame.bottom, frame.right, frame.y, Stroke(SOFT_INK, 1.1, Dash.DASHED))]

    def texts(self) -> list[Text]:
        digits = max(0, -math.floor(math.log10(self.step)))
        return [
            text
            for tick in self.ticks()
            for text in (
                Text(self.x(tick), self.frame.bottom + 14, number(tick, digits), TEXT, SOFT_INK, anchor="middle"),
                Text(self.frame.x - 6, self.y(tick) + 3.3, number(tick, digits), TEXT, SOFT_INK, anchor="end"),
            )
        ]


def _nice(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _line(x0: float, y0: float, x1: float, y1: float, stroke: Stroke) -> Sample:
    return Sample(((x0, y0), (x0, y0), (x1, y1), (x1, y1)), None, stroke)


def _bars(dot: Dot, axis: _Axis) -> list[Sample]:
    stroke, found = Stroke(dot.color, 1.0, opacity=0.55), list[Sample]()
    if dot.a_low is not None and dot.a_high is not None and dot.a_low < dot.a_high:
        found.append(_line(axis.x(dot.a_low), axis.y(dot.b), axis.x(dot.a_high), axis.y(dot.b), stroke))
    if dot.b_low is not None and dot.b_high is not None and dot.b_low < dot.b_high:
        found.append(_line(axis.x(dot.a), axis.y(dot.b_low), axis.x(dot.a), axis.y(dot.b_high), stroke))
    return found


def _around(line: Sample) -> Rect:
    (x0, y0), (x1, y1) = line.curve[0], line.curve[-1]
    return Rect(min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0))


def _point(dot: Dot, axis: _Axis) -> Panel:
    x, y = axis.x(dot.a), axis.y(dot.b)
    interval = "" if dot.low is None or dot.high is None else f" [{signed(dot.low)}, {signed(dot.high)}]"
    tooltip = f"{dot.label}\nA {signed(dot.a)}, B {signed(dot.b)}\nB − A {signed(dot.difference)}{interval}"
    return Panel(Rect(x - DOT, y - DOT, 2 * DOT, 2 * DOT), tint(dot.color, 0.75), Stroke(PAPER, 0.7), DOT, (), tooltip)


def _names(dots: Sequence[Dot], axis: _Axis, frame: Rect) -> list[Panel]:
    """The labels of the largest differences whose intervals leave out 0, where there is room beside their dots."""
    ranked = sorted((dot for dot in dots if dot.color != UNDECIDED), key=lambda dot: -abs(dot.difference))
    taken = [Rect(axis.x(dot.a) - DOT, axis.y(dot.b) - DOT, 2 * DOT, 2 * DOT) for dot in dots[:WITH_BARS]]
    bars = [_around(line) for dot in dots for line in _bars(dot, axis)] if len(dots) <= WITH_BARS else []
    found: list[Panel] = []
    for dot in ranked[: 2 * NAMED]:
        label = fit(dot.label, TEXT, 170)
        wide, x, y = width(label, TEXT) + 2, axis.x(dot.a), axis.y(dot.b)
        places = (
            Rect(x + DOT + 3, y - 5.5, wide, 11), Rect(x - DOT - 3 - wide, y - 5.5, wide, 11),
            Rect(x + DOT + 1, y - 16, wide, 11), Rect(x - DOT - 1 - wide, y - 16, wide, 11),
            Rect(x + DOT + 1, y + 5, wide, 11), Rect(x - DOT - 1 - wide, y + 5, wide, 11),
        )  # fmt: skip
        free = [at for at in places if frame.holds(at) and not any(at.overlaps(other) for other in taken)]
        # Over an interval rather than not at all.
        free.sort(key=lambda at: sum(at.overlaps(bar) for bar in bars))
        if free and len(found) < NAMED:
            at = free[0]
            taken.append(at)
            found.append(Panel(at, None, texts=(Text(at.x + 1, at.bottom - 2.5, label, TEXT, INK),)))
    return found


def _axis_names(a: str, b: str, quantity: str, frame: Rect) -> list[Text]:
    """A is named below; B, as text does not turn, above the left end of its axis."""
    return [
        Text(frame.center, frame.bottom + 33, f"{quantity} in A: {a}", 11, INK, anchor="middle"),
        Text(frame.x - 50, frame.y - 8, f"{quantity} in B: {b}", 11, INK),
    ]


def _key(dots: Sequence[Dot], frame: Rect) -> tuple[tuple[Text | Sample | Panel, ...], float]:
    kinds = ((POSITIVE, "B − A is positive"), (NEGATIVE, "B − A is negative"), (UNDECIDED, "95 % interval contains 0"))
    marks: list[Text | Sample | Panel] = []
    x, y = frame.x - 50, frame.bottom + 58
    for color, text in kinds:
        if any(dot.color == color for dot in dots):
            marks.append(Panel(Rect(x, y - 7, 2 * DOT, 2 * DOT), tint(color, 0.75), None, DOT))
            marks.append(Text(x + 2 * DOT + 5, y, text, 10.5, INK))
            x += 2 * DOT + 5 + width(text, 10.5) + 20
    said = "Dashed: the same in both." + (" Lines: 95 % intervals." if len(dots) <= WITH_BARS else "")
    marks.append(Text(frame.x - 50, y + 17, said, 10.5, SOFT_INK))
    return tuple(marks), y + 17
