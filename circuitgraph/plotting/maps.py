"""HeatMap -> Sheet: grids on one zero-centred scale, in which undecided and unmeasured cells are marked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, log10
from typing import Any

import numpy as np

from circuitgraph.drawing.style import MINUS, SOFT_INK
from circuitgraph.drawing.text import wrap
from circuitgraph.plotting.legend import BAR_WIDTH, draw_legend, legend_height
from circuitgraph.plotting.sheet import INCH, Sheet, every, heading, inches, line_height
from circuitgraph.plotting.theme import (
    DIVERGING,
    HEADING,
    SMALL,
    TEXT,
    TITLE,
    UNMEASURED_FILL,
    UNMEASURED_LINE,
    colours,
    ink_on,
)
from circuitgraph.plotting.values import HeatMap, Panel

MARGIN, GAP, PAD = 0.18, 0.3, 0.06
PAGE = 9.6
"""Inches that grids beside each other may take."""
NUMBERED = 16
"""Rows and columns of a grid whose cells have room for numbers."""
WIDE_CELL, HIGH_CELL = 0.46, 0.32
SMALLEST_GRID = 2.0
FEW_PANELS = 3
"""More grids than this, unless they are small, are drawn without numbers, three beside each other."""
FAINT = "#8d97a5"
"""Ink of numbers that are 0 when rounded."""
MOST_VECTORS = 2500
"""Cells of a grid that are written as shapes; more become one image."""


@dataclass(frozen=True)
class Frame:
    """The sizes of one panel, in inches."""

    panel: Panel
    cell: tuple[float, float]
    row_axis: str
    column_axis: str
    left: float
    """Room for row labels and the name of their axis, as much in every panel."""
    wide: float
    """The width of every panel."""
    bare: bool = False
    """Whether the panel below has the same columns, so that their labels stand there alone."""

    @property
    def grid(self) -> tuple[float, float]:
        return len(self.panel.columns) * self.cell[0], len(self.panel.rows) * self.cell[1]

    @property
    def title(self) -> tuple[str, ...]:
        return wrap(self.panel.title, HEADING, self.wide * INCH, lines=3, bold=True)

    @property
    def subtitle(self) -> tuple[str, ...]:
        return wrap(self.panel.subtitle, SMALL, self.wide * INCH, lines=3) if self.panel.subtitle else ()

    @property
    def upright(self) -> bool:
        """Whether the labels below stand upright, as they are too wide."""
        widest = max(inches(column.label, TEXT) for column in self.panel.columns)
        words = any(not column.label.isdecimal() for column in self.panel.columns)
        return words and widest > self.cell[0] - 0.04

    @property
    def upright_above(self) -> bool:
        return max(inches(column.above, SMALL, bold=True) for column in self.panel.columns) > self.cell[0] - 0.02

    @property
    def above(self) -> float:
        """Room for title, subtitle and the labels over the columns."""
        text = len(self.title) * line_height(HEADING) + len(self.subtitle) * line_height(SMALL) + PAD
        return text + self.over

    @property
    def over(self) -> float:
        """Room for the labels over the columns."""
        labels = [column.above for column in self.panel.columns if column.above]
        if not labels:
            return 0.0
        if self.upright_above:
            return max(inches(label, SMALL, bold=True) for label in labels) + PAD
        return line_height(SMALL)

    @property
    def below(self) -> float:
        """Room for the column labels and the name of their axis."""
        if self.bare:
            return 0.0
        labels = line_height(TEXT)
        if self.upright:
            labels = max(inches(column.label, TEXT) for column in self.panel.columns) + PAD
        return labels + (line_height(TEXT) if self.column_axis else 0) + PAD

    @property
    def high(self) -> float:
        return self.above + self.grid[1] + self.below


def cell_size(panels: tuple[Panel, ...]) -> tuple[float, float]:
    """Of all panels: with room for a number where there are few cells, else square and as large as fits."""
    columns, rows = max(len(p.columns) for p in panels), max(len(p.rows) for p in panels)
    crowded = len(panels) > FEW_PANELS and columns > NUMBERED / 2
    if columns <= NUMBERED and rows <= 2 * NUMBERED and not crowded:
        return WIDE_CELL, HIGH_CELL if rows <= NUMBERED else 0.2
    most = 6.6 if len(panels) == 1 else 2.6 if crowded else 4.2  # one, three or two beside each other
    side = min(max(most / max(columns, rows), 0.13), 0.3)
    return side, side


def draw_map(found: HeatMap) -> Sheet:
    """The page of a heat map; needs `theme.themed`."""
    cell = cell_size(found.panels)
    rows = _arranged(_frames(found, cell))
    beside, room = max(map(len, rows)), rows[0][0].wide + GAP
    wide = max(beside * room - GAP, BAR_WIDTH + 0.8) + 2 * MARGIN
    title = wrap(found.title, TITLE, (wide - 2 * MARGIN) * INCH, lines=2, bold=True)
    note = wrap(found.note, TEXT, (wide - 2 * MARGIN) * INCH, lines=3) if found.note else ()
    top = MARGIN + len(title) * line_height(TITLE) + len(note) * line_height(TEXT) + 0.14
    heights = [max(f.above for f in row) + max(f.grid[1] + f.below for f in row) for row in rows]
    legend = legend_height(found)
    sheet = Sheet(wide, top + sum(heights) + 0.16 * (len(rows) - 1) + 0.12 + legend + MARGIN)
    sheet.lines(MARGIN, MARGIN, title, TITLE, bold=True)
    sheet.lines(MARGIN, MARGIN + len(title) * line_height(TITLE), note, TEXT, color=SOFT_INK)
    y, start = top, (wide - beside * room + GAP) / 2
    for row, height in zip(rows, heights, strict=True):
        x, above = start, max(frame.above for frame in row)
        for frame in row:
            _panel(sheet, frame, x, y + above, found.limit)
            x += room
        y += height + 0.16
    draw_legend(sheet, found, y - 0.16 + 0.12)
    return sheet


def _frames(found: HeatMap, cell: tuple[float, float]) -> list[Frame]:
    labels = max(inches(row, TEXT) for panel in found.panels for row in panel.rows)
    left = labels + PAD + (line_height(TEXT) + 0.03 if found.row_axis else 0)
    wide = max(SMALLEST_GRID, left + cell[0] * max(len(panel.columns) for panel in found.panels))
    return [Frame(panel, cell, found.row_axis, found.column_axis, left, wide) for panel in found.panels]


def _arranged(frames: list[Frame]) -> list[list[Frame]]:
    """Rows of panels that fit the page, of about equal length; tokens below one another are written once."""
    beside = max(1, min(len(frames), floor((PAGE + GAP) / (frames[0].wide + GAP))))
    beside = ceil(len(frames) / ceil(len(frames) / beside))
    if beside == 1:
        nexts = [*frames[1:], None]
        frames = [
            replace(frame, bare=frame.upright and below is not None and below.panel.columns == frame.panel.columns)
            for frame, below in zip(frames, nexts, strict=True)
        ]
    return [frames[start : start + beside] for start in range(0, len(frames), beside)]


def _panel(sheet: Sheet, frame: Frame, x: float, y: float, limit: float) -> None:
    """One grid with its labels; (x, y) is the left end of the row labels, at the top of the grid."""
    panel, (wide, high) = frame.panel, frame.grid
    heading(sheet, x, y - frame.over - PAD / 2, frame.title, frame.subtitle)
    left = x + frame.left
    _cells(sheet, frame, left, y, limit)
    row_step = every(panel.rows, frame.cell[1], 0.115)
    for number, row in enumerate(panel.rows):
        if number % row_step == 0:
            sheet.text(left - PAD / 2, y + (number + 0.5) * frame.cell[1], row, across="right", up="middle")
    if frame.row_axis:
        sheet.text(x + 0.02, y + high / 2, frame.row_axis, color=SOFT_INK, across="center", up="top", rotated=True)
    labels = tuple(column.label for column in panel.columns)
    needed = 0.115 if frame.upright else max(inches(label, TEXT) for label in labels) + 0.05
    step = every(labels, frame.cell[0], needed)
    for number, column in enumerate(panel.columns):
        middle = left + (number + 0.5) * frame.cell[0]
        if frame.bare:
            pass
        elif number % step == 0 and frame.upright:
            sheet.text(middle, y + high + PAD / 2, column.label, across="right", up="middle", rotated=True)
        elif number % step == 0 or not column.label.isdecimal():
            sheet.text(middle, y + high + PAD / 2, column.label, across="center")
        bold = not column.above.lstrip("-").isdecimal()
        how: dict[str, Any] = {"bold": bold, "color": SOFT_INK}
        if frame.upright_above:
            sheet.text(middle, y - PAD / 2, column.above, SMALL, across="left", up="middle", rotated=True, **how)
        else:
            sheet.text(middle, y - PAD / 2, column.above, SMALL, across="center", up="bottom", **how)
    if frame.column_axis and not frame.bare:
        bottom = y + high + frame.below - line_height(TEXT) - PAD / 2
        sheet.text(left + wide / 2, bottom, frame.column_axis, color=SOFT_INK, across="center")


def _cells(sheet: Sheet, frame: Frame, x: float, y: float, limit: float) -> None:
    from matplotlib.patches import Rectangle

    panel, (wide, high) = frame.panel, frame.grid
    axes = sheet.axes(x, y, wide, high)
    values = np.array([[np.nan if cell is None else cell.value for cell in row] for row in panel.cells])
    shades = colours(DIVERGING)
    axes.set_xlim(0, values.shape[1])
    axes.set_ylim(values.shape[0], 0)
    back = Rectangle((0, 0), values.shape[1], values.shape[0], facecolor=UNMEASURED_FILL, hatch="////", linewidth=0,
                     edgecolor=UNMEASURED_LINE)  # fmt: skip
    if np.isnan(values).any():
        axes.add_patch(back)
    thin = 0.8 if min(frame.cell) > 0.15 else 0.25
    axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=shades, vmin=-limit, vmax=limit, edgecolors="white", linewidth=thin,
        rasterized=values.size > MOST_VECTORS,
    )  # fmt: skip
    outline = Rectangle((0, 0), values.shape[1], values.shape[0], fill=False, edgecolor="#9aa5b3", linewidth=0.7)
    outline.set_clip_on(False)
    axes.add_patch(outline)
    _written(axes, frame, limit, shades)


def _written(axes: Any, frame: Frame, limit: float, shades: Any) -> None:
    """Numbers, where there is room for them, and marks of undecided cells."""
    numbers = cell_texts(frame, limit)
    marks: dict[str, list[tuple[float, float]]] = {FAINT: [], "#ffffff": []}
    for r, row in enumerate(frame.panel.cells):
        for c, cell in enumerate(row):
            if cell is None:
                continue
            ink = ink_on(shades(0.5 + 0.5 * cell.value / limit))
            if numbers is not None:
                color = FAINT if numbers[r][c] == "0" else ink
                axes.text(
                    c + 0.5, r + 0.53, numbers[r][c], ha="center", va="center", fontsize=SMALL, color=color,
                    parse_math=False,
                )  # fmt: skip
            if cell.undecided:
                place = (c + 0.5, r + 0.5) if numbers is None else (c + 0.87, r + 0.2)
                marks[ink if ink in marks else FAINT].append(place)
    size = max(0.8, min(frame.cell) * 9) if numbers is None else 1.9
    for color, places in marks.items():
        if places:
            axes.plot(
                *zip(*places, strict=True), "o", markersize=size, markerfacecolor="none", markeredgecolor=color,
                markeredgewidth=0.5,
            )  # fmt: skip


def cell_texts(frame: Frame, limit: float) -> list[list[str]] | None:
    """What is written in each cell; None where the cells are too small for it."""
    digits = digits_for(limit)
    texts = [
        ["" if cell is None else _short(cell.value, digits) for cell in row] for row in frame.panel.cells
    ]  # fmt: skip
    widest = max((inches(text, SMALL) for row in texts for text in row), default=0.0)
    return texts if widest <= frame.cell[0] - 0.04 and frame.cell[1] >= 0.15 else None


def digits_for(limit: float) -> int:
    """Digits after the point: two or three that mean something in the largest value."""
    if limit >= 100:
        return 0
    return 1 if limit >= 10 else min(6, max(2, 1 - floor(log10(limit))))


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return "0"
    return text.replace("-", MINUS)
