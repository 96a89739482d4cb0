"""Patterns -> Sheet: one grid for each head, queries from top to bottom, keys from left to right, all from 0 to 1."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from circuitgraph.drawing.style import SOFT_INK
from circuitgraph.drawing.text import fit, wrap
from circuitgraph.plotting.legend import BAR, BAR_WIDTH, color_bar
from circuitgraph.plotting.sheet import INCH, Sheet, every, inches, line_height
from circuitgraph.plotting.theme import HEADING, SEQUENTIAL, TEXT, TITLE, colours
from circuitgraph.plotting.values import Patterns

MARGIN, GAP, PAGE = 0.18, 0.22, 9.6
LETTERS = 6.5
"""Size of the tokens, in points."""
SIDE, SMALL_SIDE, FEW_HEADS = 2.6, 1.9, 6
"""Of a grid, in inches; of more heads than a few, smaller."""
FAINTEST = 0.002
"""A smaller weight is white to the eye."""
MOST_VECTORS = 2500


def draw_patterns(found: Patterns) -> Sheet:
    """The page of attention patterns; needs `theme.themed`."""
    tokens = len(found.tokens)
    target = SIDE if len(found.heads) <= FEW_HEADS else SMALL_SIDE
    most = 4.2 if len(found.heads) > 1 else 8.0
    side = min(tokens * min(max(target / tokens, 0.105), 0.2), most)
    labels = _labels(found)
    room = max(inches(label, LETTERS) for label in labels) + 0.08
    axis = line_height(TEXT)
    beside = max(1, min(len(found.heads), floor((PAGE - room - axis + GAP) / (side + GAP))))
    beside = ceil(len(found.heads) / ceil(len(found.heads) / beside))
    rows = ceil(len(found.heads) / beside)
    head_room = line_height(HEADING) + 0.05
    wide = max(2 * MARGIN + axis + room + beside * (side + GAP) - GAP, BAR_WIDTH + 2 * MARGIN + 0.6)
    title = wrap(found.title, TITLE, (wide - 2 * MARGIN) * INCH, lines=2, bold=True)
    note = wrap(found.note, TEXT, (wide - 2 * MARGIN) * INCH, lines=3) if found.note else ()
    top = MARGIN + len(title) * line_height(TITLE) + len(note) * line_height(TEXT) + 0.12
    below = room + axis + 0.16 + BAR + 2.3 * line_height(TEXT) + MARGIN
    # A grid without one below it has its labels there, in the last row but one where the last is not full.
    sheet = Sheet(wide, top + rows * (head_room + side + GAP) - GAP + below)
    sheet.lines(MARGIN, MARGIN, title, TITLE, bold=True)
    sheet.lines(MARGIN, MARGIN + len(title) * line_height(TITLE), note, TEXT, color=SOFT_INK)
    left = MARGIN + axis + room
    for number, head in enumerate(found.heads):
        row, column = divmod(number, beside)
        x, y = left + column * (side + GAP), top + row * (head_room + side + GAP) + head_room
        sheet.text(x, y - 0.04, fit(head, HEADING, side * INCH, bold=True), HEADING, bold=True, up="bottom")
        _grid(sheet, found, number, x, y, side)
        if column == 0:
            _rows(sheet, labels, x, y, side)
            sheet.text(MARGIN, y + side / 2, "attends (query)", color=SOFT_INK, across="center", rotated=True)
        if number + beside >= len(found.heads):
            _columns(sheet, labels, x, y, side)
            if row == rows - 1:
                sheet.text(
                    x + side / 2, y + side + room + 0.02, "is attended to (key)", color=SOFT_INK, across="center"
                )
    y = sheet.high - MARGIN - BAR - 2.3 * line_height(TEXT)
    color_bar(sheet, wide / 2, y, (0.0, 1.0), SEQUENTIAL)
    sheet.text(wide / 2, y + BAR + 1.2 * line_height(TEXT), "attention weight (share of 1)", bold=True, across="center")
    return sheet


def _labels(found: Patterns) -> tuple[str, ...]:
    """`·Mary` with the names of positions before it, where there are any: `IO ·Mary`."""
    return tuple(
        f"{name}  {token}" if name else token for name, token in zip(found.names, found.tokens, strict=True)
    )  # fmt: skip


def _grid(sheet: Sheet, found: Patterns, head: int, x: float, y: float, side: float) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Rectangle

    tokens = len(found.tokens)
    axes = sheet.axes(x, y, side, side)
    axes.set_xlim(0, tokens)
    axes.set_ylim(tokens, 0)
    weights = found.weights[head]
    seen = [(int(q), int(k)) for q, k in np.argwhere(weights >= FAINTEST)]
    squares = [[(k, q), (k + 1, q), (k + 1, q + 1), (k, q + 1)] for q, k in seen]
    shades = colours(SEQUENTIAL)([min(float(weights[at]), 1.0) for at in seen])
    axes.add_collection(
        PolyCollection(
            squares,
            facecolors=shades,
            edgecolors="white",
            linewidth=0.3 if tokens <= 40 else 0,
            rasterized=len(seen) > MOST_VECTORS,
        )
    )
    if tokens <= 40:
        for line in range(1, tokens):
            axes.axhline(line, color="#eef0f4", linewidth=0.3, zorder=0)
            axes.axvline(line, color="#eef0f4", linewidth=0.3, zorder=0)
    outline = Rectangle((0, 0), tokens, tokens, fill=False, edgecolor="#9aa5b3", linewidth=0.7)
    outline.set_clip_on(False)
    axes.add_patch(outline)


def _rows(sheet: Sheet, labels: tuple[str, ...], x: float, y: float, side: float) -> None:
    step = side / len(labels)
    each = every(labels, step, 0.095)
    for number, label in enumerate(labels):
        if number % each == 0:
            sheet.text(x - 0.04, y + (number + 0.5) * step, label, LETTERS, across="right", up="middle")


def _columns(sheet: Sheet, labels: tuple[str, ...], x: float, y: float, side: float) -> None:
    step = side / len(labels)
    each = every(labels, step, 0.095)
    for number, label in enumerate(labels):
        if number % each == 0:
            sheet.text(
                x + (number + 0.5) * step, y + side + 0.04, label, LETTERS, across="right", up="middle", rotated=True
            )
