"""What each box reads and writes, as lines in one column; the path of the change lies on top. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from circuitgraph.drawing.marks import arrowhead
from circuitgraph.drawing.scene import Point, Rect, Sample, Stroke
from circuitgraph.nodes import ALL_PORTS
from circuitgraph.unrolled.layout import Frame, Level, badge_rects, badges_of, groups_of
from circuitgraph.unrolled.looks import PALE_LINE, RECOMPUTED, RUN_COLORS, look_of, source_color
from circuitgraph.unrolled.parts import Part
from circuitgraph.unrolled.rows import Group
from circuitgraph.unrolled.states import Change, Column, Does, Unrolled

STREAM = 3.0
PATH = 2.6
THIN = 1.1


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; what has the higher rank lies on top."""

    way: tuple[Point, ...]
    stroke: Stroke
    tip: bool
    rank: int


def lines_of(unrolled: Unrolled, column: Column, frame: Frame, other: str) -> tuple[Line, ...]:
    """All lines of a column, those on top last."""
    found = list(_stream(column, frame))
    for level in frame.levels:
        for group in groups_of(level.row):
            if group is not level.row.middle:
                found += _at(unrolled, column, frame, level, group, other)
    if column.change is not None:
        found += _carried(column, column.change, frame, other)
    return tuple(sorted(found, key=lambda line: line.rank))


def change_color(change: Change, other: str) -> str:
    """The colour of what the stream carries."""
    return RECOMPUTED if change.does is Does.RECOMPUTED else source_color(change.source, other)


def _stream(column: Column, frame: Frame) -> Iterator[Line]:
    """The stream, from each box on it to the next."""
    on_it = [frame.rects[level.row.middle] for level in frame.levels if level.row.middle is not None]
    read = [_end_of(frame, part, write=False) for part, cell in column.cells.items() if cell.recorded]
    last = min(read, default=0.0)  # what is beyond, no one reads
    for lower, upper in pairwise(on_it):
        if (middle := max(upper.bottom, min(last, lower.y))) < lower.y:
            whole = middle == upper.bottom
            yield Line(
                ((frame.stream, lower.y), (frame.stream, middle)), Stroke(RUN_COLORS[column.run], STREAM), whole, 0
            )
        if middle > upper.bottom:
            yield Line(((frame.stream, middle), (frame.stream, upper.bottom)), Stroke(PALE_LINE, STREAM), True, 0)


def _at(unrolled: Unrolled, column: Column, frame: Frame, level: Level, group: Group, other: str) -> Iterator[Line]:
    """What one box beside the stream reads and writes."""
    part, rect = group.first, frame.rects[group]
    cell, change = column.cells[part], column.change
    look = look_of(part, cell, column, other)
    loud = cell.does in (Does.REPLACED, Does.PUT, Does.RECOMPUTED)
    beyond = change is not None and unrolled.shape.written_at(part.node) > change.last
    beyond |= cell.does is Does.IDLE
    out = Stroke(PALE_LINE, THIN) if beyond else Stroke(look.line, PATH if loud else THIN)
    yield Line(_written(frame, level, rect), out, True, 3 if loud else 1)
    into = badge_rects(rect, badges_of(part, cell.ports if cell.recorded else cell.put))
    if cell.recorded and change is not None:
        path = Stroke(change_color(change, other), PATH)
        for x in [badge.center for badge in into] or [rect.center]:
            yield Line(_read(frame, level, rect, x), path, True, 4)
        return
    match cell.does:
        case Does.RECOMPUTED if change is not None:
            path = Stroke(change_color(change, other), PATH)
            yield Line(_read(frame, level, rect, rect.center), path, True, 3)
        case Does.COMPUTED | Does.KEPT:
            yield Line(_read(frame, level, rect, rect.center), Stroke(look.line, THIN), True, 1)
        case Does.IDLE:
            yield Line(_read(frame, level, rect, rect.center), Stroke(PALE_LINE, THIN), True, 1)
        case Does.PUT if into and not {*ALL_PORTS} <= {*cell.put}:
            x = (rect.x + into[0].x) / 2  # its other inputs it reads as ever
            changed = change is not None and change.first <= unrolled.shape.read_at(part.node)
            color = RECOMPUTED if changed else RUN_COLORS[column.run]
            yield Line(_read(frame, level, rect, x), Stroke(color, THIN), True, 3 if changed else 1)
        case _:
            pass


def _read(frame: Frame, level: Level, rect: Rect, x: float) -> tuple[Point, ...]:
    return ((frame.stream, level.read), (x, level.read), (x, rect.bottom))


def _written(frame: Frame, level: Level, rect: Rect) -> tuple[Point, ...]:
    edge = STREAM / 2 * (1 if rect.x > frame.stream else -1)
    return ((rect.center, rect.y), (rect.center, level.write), (frame.stream + edge, level.write))


def _carried(column: Column, change: Change, frame: Frame, other: str) -> Iterator[Line]:
    """The part of the stream that carries the change: from the first box that changes to the last that reads it."""
    begin = max(
        _end_of(frame, part, write=True)
        for part, cell in column.cells.items()
        if cell.does in (Does.REPLACED, Does.PUT)
    )
    read = [part for part, cell in column.cells.items() if cell.recorded] or [list(column.cells)[-1]]
    end = min(_end_of(frame, part, write=False) for part in read)
    stroke = Stroke(change_color(change, other), STREAM + 1)
    on_it = [frame.rects[level.row.middle] for level in frame.levels if level.row.middle is not None]
    stops = [y for rect in on_it for y in (rect.bottom, rect.y) if end < y < begin]
    ys = [begin, *stops, end]
    for lower, upper in zip(ys[::2], ys[1::2], strict=True):
        tip = any(abs(upper - rect.bottom) < 0.01 for rect in on_it)
        yield Line(((frame.stream, lower), (frame.stream, upper)), stroke, tip, 5)


def _end_of(frame: Frame, part: Part, *, write: bool) -> float:
    level = frame.level_of(part)
    if level.row.middle is not None:
        rect = frame.rects[level.row.middle]
        return rect.y if write else rect.bottom
    return level.write if write else level.read


def sample(line: Line, dx: float, dy: float) -> Sample:
    """A line as a mark, moved; its end makes room for the arrowhead."""
    way = [(x + dx, y + dy) for x, y in line.way]
    tip = arrowhead(way[-2], way[-1], line.stroke) if line.tip else None
    if tip is not None:
        way[-1] = _before(way[-2], way[-1], line.stroke.tip_length - 0.5)
    return Sample(_straight(way), tip, line.stroke)


def _before(a: Point, b: Point, back: float) -> Point:
    """The point `back` before `b` on an upright or level line from `a`."""
    (x0, y0), (x1, y1) = a, b
    long = max(abs(x1 - x0), abs(y1 - y0))
    share = max(long - back, 0.0) / long if long else 0.0
    return (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)


def _straight(way: Sequence[Point]) -> tuple[Point, ...]:
    """A polyline as a chain of cubic Béziers."""
    curve = [way[0]]
    for a, b in pairwise(way):
        curve += [a, b, b]
    return tuple(curve)
