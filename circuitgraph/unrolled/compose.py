"""Unrolled -> Scene: a panel for each stage, side by side; above each the words of `plan`, below all a key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuitgraph.drawing.scene import Box, Panel, Rect, Scene, Stroke, Text
from circuitgraph.drawing.style import BAND, INK, LINE, PAPER, SOFT_INK
from circuitgraph.drawing.text import fill, fit, width
from circuitgraph.plans.explain import other_of
from circuitgraph.unrolled.boxes import box_of, stacks_of
from circuitgraph.unrolled.key import key
from circuitgraph.unrolled.layout import Frame, frame_of, groups_of
from circuitgraph.unrolled.lines import lines_of, sample
from circuitgraph.unrolled.rows import rows_of
from circuitgraph.unrolled.states import Stage, Unrolled

EDGE = 24.0
TITLE = 17.0
SUBTITLE = 11.5
STAGE = 13.0
CAPTION = 10.5
CAPTION_LINE = 14.0
MOST_LINES = 40
"""Of a caption: more than any that can be read."""
INSIDE = 15.0
"""From the border of a panel to what is in it."""
BETWEEN_COLUMNS = 22.0
BETWEEN_PANELS = 14.0
WIDEST = 1576.0
"""Panels that are wider together are put on several lines."""
LEAST_PANEL = 216.0
RUN_NAME = 10.5
LAYER_NAME = 9.5


@dataclass(frozen=True)
class Place:
    """One stage in place."""

    stage: Stage
    number: int | None
    rect: Rect
    caption: tuple[str, ...]
    columns: tuple[tuple[float, float], ...]
    """The left upper corner of each run."""
    named: bool
    """Whether the names of the layers stand left of it."""


def scene_of(unrolled: Unrolled, *, title: str, subtitle: str, remarks: Sequence[str] = ()) -> Scene:
    """The picture of one experiment. Lengths are points.

    Args:
        remarks: further sentences for the key.
    """
    other = other_of(unrolled.experiment.base)
    rows = rows_of(unrolled)
    frame = frame_of(unrolled, rows, other)
    margin = max([width(_layers(layers), LAYER_NAME) for layers in frame.names], default=0.0) + 10
    places = _places(unrolled.stages, frame, margin, EDGE + 52)
    right = max(place.rect.right for place in places)
    inner = right - EDGE
    bottom = max(place.rect.bottom for place in places)
    stacked = any(group.count > 1 for row in rows for group in groups_of(row))
    marks, end = key(unrolled, stacked, remarks, Rect(EDGE, bottom + 18, inner, 0))
    heading = fit(title, TITLE, inner, bold=True)
    drawn = [
        (column, x, y) for place in places for column, (x, y) in zip(place.stage.columns, place.columns, strict=True)
    ]
    return Scene(
        width=math.ceil(right + EDGE),
        height=math.ceil(end + EDGE),
        title=title,
        description=" ".join(f"{stage.name}: {stage.said}." for stage in unrolled.stages),
        columns=tuple(map(_frame_panel, places)),
        clusters=tuple(band for place in places for band in _bands(place, frame)),
        lines=tuple(sample(line, x, y) for column, x, y in drawn for line in lines_of(unrolled, column, frame, other)),
        arrows=(),
        headers=tuple(stack for column, x, y in drawn for stack in stacks_of(column, frame, other, x, y)),
        boxes=tuple(_boxes(places, frame, other)),
        tags=(),
        notes=(),
        texts=(
            Text(EDGE, EDGE + 14, heading, TITLE, INK, bold=True),
            Text(EDGE, EDGE + 34, fit(subtitle, SUBTITLE, inner), SUBTITLE, SOFT_INK),
            *(text for place in places if place.named for text in _layer_names(place, frame)),
        ),
        legend=marks,
    )


def _places(stages: Sequence[Stage], frame: Frame, margin: float, top: float) -> list[Place]:
    """Panels side by side, in as many lines as they need; what is in one line has its boxes at equal heights."""
    widths = [max(_wide(stage, frame), LEAST_PANEL) for stage in stages]
    lines = _broken(widths, WIDEST - EDGE - margin)
    number, found = 0, list[Place]()
    for count in lines:
        here = range(number, number + count)
        numbered = [(i + 1 if len(stages) <= 3 else None, stages[i], widths[i]) for i in here]
        found += _line(numbered, frame, margin, top)
        top = found[-1].rect.bottom + BETWEEN_PANELS
        number += count
    return found


def _broken(widths: Sequence[float], limit: float) -> list[int]:
    """How many panels each line holds: as few lines as possible, and then lines of about equal length."""
    best = _filled(widths, limit)
    narrower = limit
    while narrower > max(widths) and len(even := _filled(widths, narrower)) == len(best):
        best = even
        narrower -= 10
    return best


def _filled(widths: Sequence[float], limit: float) -> list[int]:
    counts, x = list[int](), limit
    for wide in widths:
        if not counts or x + wide > limit:
            counts.append(0)
            x = 0.0
        counts[-1] += 1
        x += wide + BETWEEN_PANELS
    return counts


def _line(line: Sequence[tuple[int | None, Stage, float]], frame: Frame, margin: float, top: float) -> list[Place]:
    captions = [fill(stage.said, CAPTION, wide - 2 * INSIDE, lines=MOST_LINES) for _, stage, wide in line]
    names = 18.0 * any(len(stage.columns) > 1 for _, stage, _ in line)
    above = 26.0 + CAPTION_LINE * max(map(len, captions)) + names + 14
    x, found = EDGE + margin, list[Place]()
    for (number, stage, wide), caption in zip(line, captions, strict=True):
        first = x + (wide - _wide(stage, frame)) / 2 + INSIDE
        step = frame.width + BETWEEN_COLUMNS
        columns = tuple((first + i * step, top + above) for i in range(len(stage.columns)))
        rect = Rect(x, top, wide, above + frame.height + INSIDE)
        found.append(Place(stage, number, rect, caption, columns, named=not found))
        x += wide + BETWEEN_PANELS
    return found


def _wide(stage: Stage, frame: Frame) -> float:
    number = len(stage.columns)
    return number * frame.width + (number - 1) * BETWEEN_COLUMNS + 2 * INSIDE


def _frame_panel(place: Place) -> Panel:
    """The border of a stage, with its name, its sentence, and the names of its runs if there are several."""
    x, y = place.rect.x + INSIDE, place.rect.y + 22
    texts = [Text(x, y, _heading(place), STAGE, INK, bold=True)]
    for line in place.caption:
        y += CAPTION_LINE if len(texts) > 1 else CAPTION_LINE + 4
        texts.append(Text(x, y, line, CAPTION, INK))
    return Panel(place.rect, PAPER, Stroke(LINE, 1.0), 8.0, tuple(texts), place.stage.said)


def _heading(place: Place) -> str:
    """`2  Isolate`; of several isolations each has its number already."""
    name = place.stage.name.capitalize()
    return name if place.number is None else f"{place.number}. {name}"


def _bands(place: Place, frame: Frame) -> Iterator[Panel]:
    """A band behind each layer, in each run."""
    for i, (x, y) in enumerate(place.columns):
        if len(place.columns) > 1:
            run = place.stage.columns[i].run
            name = Text(x + frame.stream, y - 12, run if run.endswith("set") else f"{run} run", RUN_NAME, INK,
                        bold=True, anchor="middle")  # fmt: skip
            yield Panel(Rect(x, y - 24, frame.width, 16), None, None, 0.0, (name,))
        for top, bottom in frame.names.values():
            yield Panel(Rect(x - 6, y + top, frame.width + 12, bottom - top), BAND, None, 5.0)


def _layer_names(place: Place, frame: Frame) -> Iterator[Text]:
    _, y = place.columns[0]
    for layers, (top, bottom) in frame.names.items():
        yield Text(EDGE, y + (top + bottom) / 2 + 3.5, _layers(layers), LAYER_NAME, SOFT_INK)


def _layers(layers: Sequence[int]) -> str:
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]}–{layers[-1]}"


def _boxes(places: Sequence[Place], frame: Frame, other: str) -> Iterator[Box]:
    for place in places:
        for column, (x, y) in zip(place.stage.columns, place.columns, strict=True):
            for level in frame.levels:
                for group in groups_of(level.row):
                    yield box_of(place.stage, column, group, frame, other, x, y)
