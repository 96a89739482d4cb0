"""Letters in small rings, on arrows and boxes that are measured in another way than most: by path, base or source."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.drawing.curves import spaced
from circuitgraph.drawing.scene import Arrow, Box, Panel, Rect, Stroke, Text
from circuitgraph.drawing.style import BOX_LINE, INK, PAPER

LETTERS = {
    "direct": "d", "through-mlps": "m",
    "clean": "c", "corrupted": "x",
    "counterfactual": "f", "zero": "0", "mean": "a", "resample": "r", "base": "b", "prune": "w",
}  # fmt: skip
"""The value of a setting → its letter."""
SIZE = 9.5
TEXT = 7.5
FROM_TAIL = 10.0
"""Between the start of an arrow and the middle of its first tag."""
STEP = 3.0


def tag(x: float, y: float, value: str, color: str) -> Panel:
    """The letter of a setting's value, in a ring around (x, y)."""
    letter = Text(x, y + 0.36 * TEXT, LETTERS[value], TEXT, INK, bold=True, anchor="middle")
    return Panel(Rect(x - SIZE / 2, y - SIZE / 2, SIZE, SIZE), PAPER, Stroke(color, 1.1), SIZE / 2, (letter,), value)


def tags(arrows: Sequence[Arrow], boxes: Sequence[Box], headers: Sequence[Panel]) -> tuple[Panel, ...]:
    """Those of boxes at their upper right corners, those of arrows near their tails and clear of what can be avoided.

    `arrows` are ordered from the weakest to the strongest: the strongest are nearest to their tails.
    """
    placed: list[Panel] = []
    for box in boxes:
        for i, value in enumerate(box.unusual):
            border = box.panel.border
            place = box.panel.rect.right - i * (SIZE + 1), box.panel.rect.y
            placed.append(tag(*place, value, border.color if border else BOX_LINE))
    solid = [*(box.panel.rect for box in boxes), *(header.rect for header in headers)]
    for arrow in reversed(arrows):
        for value in arrow.unusual:
            placed.append(_beside(arrow, value, [*solid, *(panel.rect for panel in placed)]))
    return tuple(placed)


def _beside(arrow: Arrow, value: str, taken: Sequence[Rect]) -> Panel:
    """The first free place on the lower half of an arrow, or the first place."""
    along = spaced(arrow.curve, STEP)
    start = min(round(FROM_TAIL / STEP), len(along) // 2)
    places = (tag(x, y, value, arrow.stroke.color) for x, y in along[start : max(len(along) // 2, start + 1)])
    first = next(places)
    free = (panel for panel in (first, *places) if not any(panel.rect.overlaps(rect, 1) for rect in taken))
    return next(free, first)
