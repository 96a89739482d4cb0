"""Rows of boxes -> places in one column: the stream upright, heads left of it, MLPs right of it. All columns are alike.

Lengths are points, y downwards; (0, 0) is the column's left upper corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuitgraph.drawing.scene import Rect
from circuitgraph.drawing.text import width
from circuitgraph.nodes import Port
from circuitgraph.unrolled.looks import look_of
from circuitgraph.unrolled.parts import Part, Side
from circuitgraph.unrolled.rows import NAME, Group, Row
from circuitgraph.unrolled.states import Unrolled

WORD = 9.5
ROLE = 9.0
BADGE = 9.0

NAME_LINE = 13.0
PADDING = 7.0
LEAST_WIDTH = 52.0
WIDEST = 150.0
"""Of what a box says: what is longer is cut off, and told where one points at it."""
BESIDE = 8.0
"""Between boxes side by side."""
FROM_STREAM = 24.0
READING = 15.0
"""From the line that boxes read up to the boxes."""
WRITING = 10.0
"""From the boxes up to the line on which they write."""
BETWEEN = 10.0
"""Between a line on which boxes write and the next that is read."""
BAND = 6.0
"""How far the band of a layer reaches beyond its lines."""
BADGE_HEIGHT = 13.0
BADGE_ABOVE = 3.5
"""From the lower edge of a box up to its badges."""
STACK = 3.0
"""How far the outlines behind a box that stands for several components stick out."""


@dataclass(frozen=True, slots=True)
class Level:
    """One row in place: y of the line that its boxes read, and of the one they write on; on the stream, of the box."""

    row: Row
    read: float
    write: float


@dataclass(frozen=True)
class Frame:
    """One column in place."""

    width: float
    height: float
    stream: float
    """x of the residual stream."""
    levels: tuple[Level, ...]
    """Lowest first."""
    rects: Mapping[Group, Rect]
    names: Mapping[tuple[int, ...], tuple[float, float]]
    """Layers → top and bottom of their band."""

    def level_of(self, part: Part) -> Level:
        """The row a part is in."""
        for level in self.levels:
            if any(part in group.parts for group in groups_of(level.row)):
                return level
        raise KeyError(part)


def groups_of(row: Row) -> tuple[Group, ...]:
    """The boxes of a row, from left to right."""
    return (*row.left, *(() if row.middle is None else (row.middle,)), *row.right)


def frame_of(unrolled: Unrolled, rows: Sequence[Row], other: str) -> Frame:
    """Place the boxes of a column, each as wide as its texts in any column."""
    sizes = {group: _size(unrolled, group, other) for row in rows for group in groups_of(row)}
    left = max((_side(row.left, sizes) for row in rows), default=0.0)
    right = max((_side(row.right, sizes) for row in rows), default=0.0)
    half = max(sizes[row.middle][0] / 2 for row in rows if row.middle is not None)
    stream = max(left + FROM_STREAM if left else 0.0, half)
    height = sum(_tall(row, sizes) for row in rows) + sum(map(_space, rows, rows[1:]))
    y, levels, rects = height, list[Level](), dict[Group, Rect]()
    for i, row in enumerate(rows):
        y -= _space(rows[i - 1], row) if i else 0.0
        level = Level(row, y, y - _tall(row, sizes))
        levels.append(level)
        rects |= _placed(level, sizes, stream)
        y = level.write
    wide = stream + max(right + FROM_STREAM if right else 0.0, half)
    return Frame(wide, height, stream, tuple(levels), rects, _bands(levels))


def _bands(levels: Sequence[Level]) -> dict[tuple[int, ...], tuple[float, float]]:
    bands: dict[tuple[int, ...], tuple[float, float]] = {}
    for level in levels:
        if level.row.layers:
            _, bottom = bands.get(level.row.layers, (0.0, level.read + BAND))
            bands[level.row.layers] = (level.write - BAND, bottom)
    return bands


def _placed(level: Level, sizes: Mapping[Group, tuple[float, float]], stream: float) -> dict[Group, Rect]:
    row, found = level.row, dict[Group, Rect]()
    if row.middle is not None:
        wide, tall = sizes[row.middle]
        return {row.middle: Rect(stream - wide / 2, level.write, wide, tall)}
    top, tall = level.write + WRITING, level.read - READING - level.write - WRITING
    x = stream - FROM_STREAM
    for group in reversed(row.left):
        found[group] = Rect(x - sizes[group][0], top, sizes[group][0], tall)
        x -= sizes[group][0] + BESIDE
    x = stream + FROM_STREAM
    for group in row.right:
        found[group] = Rect(x, top, sizes[group][0], tall)
        x += sizes[group][0] + BESIDE
    return found


def _side(groups: Sequence[Group], sizes: Mapping[Group, tuple[float, float]]) -> float:
    return sum(sizes[group][0] for group in groups) + BESIDE * max(len(groups) - 1, 0)


def _tall(row: Row, sizes: Mapping[Group, tuple[float, float]]) -> float:
    tallest = max(sizes[group][1] for group in groups_of(row))
    return tallest + (0.0 if row.middle is not None else READING + WRITING)


def _space(lower: Row, upper: Row) -> float:
    """From the top of a row to the bottom of the next; the bands of two layers do not touch."""
    if lower.layers == upper.layers:
        return BETWEEN
    return BETWEEN + BAND * (bool(lower.layers) + bool(upper.layers)) - 4


def _size(unrolled: Unrolled, group: Group, other: str) -> tuple[float, float]:
    part = group.first
    lines = [width(part.role, ROLE), *(min(width(name, NAME, bold=True), WIDEST) for name in group.lines)]
    badges = 0.0
    words = False
    for column in unrolled.columns:
        cell = column.cells[part]
        word = look_of(part, cell, column, other).word
        lines.append(width(word, WORD))
        words |= bool(word)
        badges = max(badges, badges_width(badges_of(part, cell.ports or cell.put)))
    wide = max(*lines, badges) + 2 * PADDING
    tall = (
        9.0
        + NAME_LINE * len(group.lines)
        + 12.5 * words
        + 12.0 * bool(part.role)
        + (BADGE_HEIGHT + BADGE_ABOVE) * bool(badges)
    )
    return max(wide, LEAST_WIDTH) + STACK * (group.count > 1), tall


def badges_of(part: Part, ports: Sequence[Port]) -> tuple[str, ...]:
    """The names of the badges at the lower edge of a head."""
    return tuple(map(str, ports)) if part.side is Side.HEADS else ()


def badges_width(names: Sequence[str]) -> float:
    """The room that badges side by side need."""
    return sum(width(name, BADGE) + 9.0 for name in names) + 4.0 * max(len(names) - 1, 0)


def badge_rects(rect: Rect, names: Sequence[str]) -> list[Rect]:
    """Where the badges of a box are: in a line in the middle of its lower edge."""
    x, found = rect.center - badges_width(names) / 2, list[Rect]()
    for name in names:
        wide = width(name, BADGE) + 9.0
        found.append(Rect(x, rect.bottom - BADGE_HEIGHT - BADGE_ABOVE, wide, BADGE_HEIGHT))
        x += wide + 4.0
    return found
