"""The colour bar of a plot, what it measures, and what the marks in its cells mean."""

from __future__ import annotations

import numpy as np

from circuitgraph.drawing.style import SOFT_INK
from circuitgraph.plotting.sheet import Sheet, inches, line_height, nice_ticks, tick_text
from circuitgraph.plotting.theme import DIVERGING, SMALL, TEXT, UNMEASURED_FILL, UNMEASURED_LINE, colours
from circuitgraph.plotting.values import HeatMap

BAR, BAR_WIDTH = 0.13, 3.4
"""Height and width of the colour bar, in inches."""


def legend_height(found: HeatMap) -> float:
    """The room that `draw_legend` needs, in inches."""
    return BAR + 2.3 * line_height(TEXT) + 0.05 + (line_height(SMALL) + 0.05 if _marks(found) else 0)


def _marks(found: HeatMap) -> list[str]:
    cells = [cell for panel in found.panels for cell in panel.measured()]
    marks = []
    if any(cell.undecided for cell in cells):
        marks.append("undecided")
    if any(cell is None for panel in found.panels for row in panel.cells for cell in row):
        marks.append("unmeasured")
    if any(cell.low is None for cell in cells):
        marks.append("no interval")
    return marks


def draw_legend(sheet: Sheet, found: HeatMap, y: float) -> None:
    """The colour bar, what it measures, and what marks mean."""
    middle = sheet.wide / 2
    color_bar(sheet, middle, y, (-found.limit, found.limit), DIVERGING)
    y += BAR + 1.15 * line_height(TEXT) + 0.03
    quantity = found.quantity
    name = f"{quantity.label}"
    half = inches(name, TEXT, bold=True) / 2
    sheet.text(middle, y, name, bold=True, across="center")
    sheet.text(middle - max(half, 0.5) - 0.12, y, f"← {quantity.falls}", color=SOFT_INK, across="right")
    sheet.text(middle + max(half, 0.5) + 0.12, y, f"{quantity.rises} →", color=SOFT_INK)
    marks = _marks(found)
    texts = {
        "undecided": "95 % interval contains 0",
        "unmeasured": "not measured",
        "no interval": "one pair or cluster: no intervals",
    }
    total = sum(inches(texts[mark], SMALL) + 0.24 for mark in marks) + 0.2 * (len(marks) - 1)
    x, y = middle - total / 2, y + 1.15 * line_height(TEXT) + 0.05
    for mark in marks:
        _mark(sheet, mark, x, y - 0.012)
        sheet.text(x + 0.24, y, texts[mark], SMALL, color=SOFT_INK)
        x += inches(texts[mark], SMALL) + 0.44


def _mark(sheet: Sheet, mark: str, x: float, y: float) -> None:
    from matplotlib.patches import Rectangle

    axes = sheet.axes(x, y, 0.18, 0.1)
    if mark == "undecided":
        axes.plot(0.5, 0.45, "o", markersize=2.6, markerfacecolor="none", markeredgecolor=SOFT_INK, markeredgewidth=0.6)
    elif mark == "unmeasured":
        axes.add_patch(
            Rectangle((0, 0), 1, 1, facecolor=UNMEASURED_FILL, hatch="//////", linewidth=0.5, edgecolor=UNMEASURED_LINE)
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def color_bar(
    sheet: Sheet, middle: float, y: float, span: tuple[float, float], stops: tuple[tuple[float, str], ...]
) -> None:
    """A bar around `middle` with its ticks below."""
    left = middle - BAR_WIDTH / 2
    axes = sheet.axes(left, y, BAR_WIDTH, BAR)
    edges = np.linspace(*span, 129)
    axes.pcolormesh(
        edges, [0, 1], ((edges[:-1] + edges[1:]) / 2)[None], cmap=colours(stops), vmin=span[0], vmax=span[1],
        rasterized=True,
    )  # fmt: skip
    axes.set_xlim(*span)
    axes.set_ylim(0, 1)
    ruler = sheet.axes(left, y, BAR_WIDTH, BAR + 0.04)
    ruler.set_xlim(*span)
    ruler.set_ylim(0, 1)
    for tick in nice_ticks(*span, 6):
        ruler.plot([tick, tick], [0, 0.25], color=SOFT_INK, linewidth=0.6)
        place = left + BAR_WIDTH * (tick - span[0]) / (span[1] - span[0])
        sheet.text(place, y + BAR + 0.055, tick_text(tick), color=SOFT_INK, across="center")
