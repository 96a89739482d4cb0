"""Bars -> Sheet: from the largest down, each with its 95 % interval and its numbers."""

from __future__ import annotations

from math import floor, log10

from circuitgraph.drawing.style import NEGATIVE, POSITIVE, SOFT_INK, UNDECIDED, signed
from circuitgraph.drawing.text import fit, wrap
from circuitgraph.plotting.sheet import INCH, Sheet, inches, line_height, nice_ticks, tick_text
from circuitgraph.plotting.theme import SMALL, TEXT, TITLE, pale
from circuitgraph.plotting.values import Bar, Bars

MARGIN, BAR_ROOM, PLOT_WIDTH = 0.18, 0.2, 3.4
LONGEST_LABEL = 3.4
"""Inches."""


def draw_bars(found: Bars) -> Sheet:
    """The page of a bar chart; needs `theme.themed`."""
    labels = [fit(bar.label, TEXT, LONGEST_LABEL * INCH) for bar in found.bars]
    numbers = [interval_text(bar) for bar in found.bars]
    left = MARGIN + max(map(_width, labels)) + 0.1
    wide = left + PLOT_WIDTH + 0.12 + max(map(_width, numbers)) + MARGIN
    title = wrap(found.title, TITLE, (wide - 2 * MARGIN) * INCH, lines=2, bold=True)
    note = wrap(found.note, TEXT, (wide - 2 * MARGIN) * INCH, lines=3) if found.note else ()
    top = MARGIN + len(title) * line_height(TITLE) + len(note) * line_height(TEXT) + 0.1
    high = BAR_ROOM * len(found.bars)
    legend = any(bar.undecided or bar.low is None for bar in found.bars)
    below = 2.4 * line_height(TEXT) + (line_height(SMALL) + 0.05 if legend else 0) + MARGIN
    sheet = Sheet(wide, top + high + below)
    sheet.lines(MARGIN, MARGIN, title, TITLE, bold=True)
    sheet.lines(MARGIN, MARGIN + len(title) * line_height(TITLE), note, TEXT, color=SOFT_INK)
    span = span_of(found)
    _plot(sheet, found, left, top, span)
    for row, (label, text) in enumerate(zip(labels, numbers, strict=True)):
        y = top + (row + 0.5) * BAR_ROOM
        sheet.text(left - 0.1, y, label, across="right", up="middle")
        sheet.text(left + PLOT_WIDTH + 0.12, y, text, SMALL, color=SOFT_INK, up="middle")
    for tick in nice_ticks(*span, 6):
        x = left + PLOT_WIDTH * (tick - span[0]) / (span[1] - span[0])
        sheet.text(x, top + high + 0.04, tick_text(tick), color=SOFT_INK, across="center")
    y = top + high + 1.3 * line_height(TEXT)
    sheet.text(left + PLOT_WIDTH / 2, y, found.quantity.label, bold=True, across="center")
    if legend:
        said = "grey: the 95 % interval contains 0" if any(bar.undecided for bar in found.bars) else ""
        bare = "pale: no interval" if any(bar.low is None for bar in found.bars) else ""
        text = "; ".join(filter(None, (said, bare)))
        sheet.text(left + PLOT_WIDTH / 2, y + line_height(TEXT) + 0.05, text, SMALL, color=SOFT_INK, across="center")
    return sheet


def span_of(found: Bars) -> tuple[float, float]:
    """What the axis shows: 0, every bar and every interval."""
    ends = [end for bar in found.bars for end in (bar.value, bar.low, bar.high) if end is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if low == high:
        return -1.0, 1.0
    room = 0.03 * (high - low)
    return (low - room if low < 0 else low), (high + room if high > 0 else high)


def interval_text(bar: Bar) -> str:
    """`+0.52  [+0.41, +1.63]`: three digits of the largest of the three numbers, and the others as exact."""
    largest = max(abs(end) for end in (bar.value, bar.low, bar.high) if end is not None)
    digits = max(0, 2 - floor(log10(largest))) if largest else None
    value = signed(bar.value, digits)
    if bar.low is None or bar.high is None:
        return value
    return f"{value}  [{signed(bar.low, digits)}, {signed(bar.high, digits)}]"


def color_of(bar: Bar) -> str:
    """The hue of its sign; grey where the interval contains 0, pale where there is none."""
    if bar.undecided:
        return UNDECIDED
    color = POSITIVE if bar.value > 0 else NEGATIVE
    return pale(color) if bar.low is None else color


def _width(text: str) -> float:
    return inches(text, TEXT)


def _plot(sheet: Sheet, found: Bars, x: float, y: float, span: tuple[float, float]) -> None:
    rows = range(len(found.bars))
    axes = sheet.axes(x, y, PLOT_WIDTH, BAR_ROOM * len(found.bars))
    axes.set_xlim(*span)
    axes.set_ylim(len(found.bars), 0)
    for tick in nice_ticks(*span, 6):
        axes.axvline(tick, color="#e3e7ed", linewidth=0.7, zorder=0)
    axes.barh(
        [row + 0.5 for row in rows], [bar.value for bar in found.bars], height=0.64,
        color=[color_of(bar) for bar in found.bars], zorder=2,
    )  # fmt: skip
    for row, bar in enumerate(found.bars):
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [row + 0.5] * 2, color="white", linewidth=2.4, zorder=3,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot([bar.low, bar.high], [row + 0.5] * 2, color="#1f2733", linewidth=1.1, marker="|", markersize=4,
                      zorder=4)  # fmt: skip
    axes.axvline(0, color=SOFT_INK, linewidth=0.9, zorder=5)
