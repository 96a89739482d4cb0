"""A square of correlations -> a scene: hue for the sign, depth for the size, the numbers written in the cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from circuitgraph.drawing.scene import Panel, Rect, Scene, Stroke, Text
from circuitgraph.drawing.style import INK, LINE, NEGATIVE, PAPER, POSITIVE, SOFT_INK, signed, tint
from circuitgraph.drawing.text import fit, width

WIDE, HIGH = 78.0, 44.0
LONGEST = 220.0
EDGE = 24.0

Cell = tuple[float | None, float | None, float | None]
"""A correlation and its interval; None = there is none."""


def matrix(
    cells: Sequence[Sequence[Cell]], letters: Sequence[str], labels: Sequence[str], *, title: str, subtitle: str = ""
) -> Scene:
    """One row and one column for each label; `letters` are the short names over the columns."""
    names = [fit(f"{letter}  {label}", 11, LONGEST) for letter, label in zip(letters, labels, strict=True)]
    left = EDGE + max(width(name, 11) for name in names) + 14
    top = 96.0
    panels: list[Panel] = []
    texts = [Text(EDGE, 38, title, 17, INK, bold=True), Text(EDGE, 57, fit(subtitle, 11.5, 600), 11.5, SOFT_INK)]
    for i, row in enumerate(cells):
        y = top + HIGH * i
        texts.append(Text(EDGE, y + HIGH / 2 + 4, names[i], 11, INK))
        texts.append(Text(left + WIDE * (i + 0.5), top - 8, letters[i], 11, INK, bold=True, anchor="middle"))
        panels += [_cell(cell, Rect(left + WIDE * j, y, WIDE, HIGH), i == j) for j, cell in enumerate(row)]
    said = max(width(text.text, text.size, bold=text.bold) for text in texts[:2])
    return Scene(
        width=math.ceil(max(left + WIDE * len(cells), EDGE + said) + EDGE),
        height=math.ceil(top + HIGH * len(cells) + EDGE),
        title=title,
        description=f"{title}: {', '.join(names)}.",
        columns=tuple(panels),
        clusters=(),
        arrows=(),
        headers=(),
        boxes=(),
        tags=(),
        notes=(),
        texts=tuple(texts),
        legend=(),
    )


def _cell(cell: Cell, rect: Rect, same: bool) -> Panel:
    value, low, high = cell
    if value is None or same:
        word = "1" if same else "–"
        fill = tint(POSITIVE, 0.35) if same else PAPER
        return Panel(rect, fill, Stroke(LINE, 0.8), texts=(_text(rect, rect.height / 2 + 4, word, 12),))
    fill = tint(POSITIVE if value > 0 else NEGATIVE, 0.35 * min(abs(value), 1.0))
    texts = [_text(rect, rect.height / 2 + (4 if low is None else -1), signed(value, 2), 12)]
    if low is not None and high is not None:
        texts.append(_text(rect, rect.height / 2 + 13, f"[{signed(low, 2)}, {signed(high, 2)}]", 8.5))
    return Panel(rect, fill, Stroke(LINE, 0.8), texts=tuple(texts))


def _text(rect: Rect, down: float, text: str, size: float) -> Text:
    return Text(rect.center, rect.y + down, text, size, INK, anchor="middle")
