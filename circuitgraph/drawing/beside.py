"""Scenes -> one scene that holds them all, beside each other or below each other. Lengths are points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast

from circuitgraph.drawing.scene import Arrow, Box, Panel, Point, Rect, Sample, Scene, Text

M = TypeVar("M", bound=Text | Panel | Sample | Arrow | Box)


def beside(scenes: Sequence[Scene], *, title: str = "", across: int | None = None) -> Scene:
    """All scenes from left to right, `across` of them in a row (all, if not given), rows below each other."""
    across = across or len(scenes)
    rows = [scenes[i : i + across] for i in range(0, len(scenes), across)]
    moved: list[Scene] = []
    y = 0.0
    for row in rows:
        x = 0.0
        for scene in row:
            moved.append(shifted(scene, x, y))
            x += scene.width
        y += max(scene.height for scene in row)
    return Scene(
        width=max(sum(scene.width for scene in row) for row in rows),
        height=y,
        title=title or " | ".join(scene.title for scene in scenes),
        description=" ".join(scene.description for scene in scenes),
        columns=tuple(mark for scene in moved for mark in scene.columns),
        clusters=tuple(mark for scene in moved for mark in scene.clusters),
        arrows=tuple(mark for scene in moved for mark in scene.arrows),
        headers=tuple(mark for scene in moved for mark in scene.headers),
        boxes=tuple(mark for scene in moved for mark in scene.boxes),
        tags=tuple(mark for scene in moved for mark in scene.tags),
        notes=tuple(mark for scene in moved for mark in scene.notes),
        texts=tuple(mark for scene in moved for mark in scene.texts),
        legend=tuple(mark for scene in moved for mark in scene.legend),
        lines=tuple(mark for scene in moved for mark in scene.lines),
    )


def shifted(scene: Scene, dx: float, dy: float) -> Scene:
    """The same marks, further right and down."""

    def all_of(marks: Sequence[M]) -> tuple[M, ...]:
        return tuple(_mark(mark, dx, dy) for mark in marks)

    return replace(
        scene,
        columns=all_of(scene.columns),
        clusters=all_of(scene.clusters),
        arrows=all_of(scene.arrows),
        headers=all_of(scene.headers),
        boxes=all_of(scene.boxes),
        tags=all_of(scene.tags),
        notes=all_of(scene.notes),
        texts=all_of(scene.texts),
        legend=all_of(scene.legend),
        lines=all_of(scene.lines),
    )


def _mark(mark: M, dx: float, dy: float) -> M:
    return cast(M, _moved(mark, dx, dy))  # each is replaced by one of its own kind


def _moved(mark: Text | Panel | Sample | Arrow | Box, dx: float, dy: float) -> Text | Panel | Sample | Arrow | Box:
    match mark:
        case Text():
            return replace(mark, x=mark.x + dx, y=mark.y + dy)
        case Panel():
            return replace(mark, rect=_rect(mark.rect, dx, dy), texts=tuple(_mark(text, dx, dy) for text in mark.texts))
        case Box():
            ports = tuple(_mark(port, dx, dy) for port in mark.ports)
            return replace(mark, panel=_mark(mark.panel, dx, dy), ports=ports)
        case _:
            a, b, c = mark.tip or ((0.0, 0.0),) * 3
            tip = None if mark.tip is None else (_point(a, dx, dy), _point(b, dx, dy), _point(c, dx, dy))
            return replace(mark, curve=tuple(_point(point, dx, dy) for point in mark.curve), tip=tip)


def _point(point: Point, dx: float, dy: float) -> Point:
    return point[0] + dx, point[1] + dy


def _rect(rect: Rect, dx: float, dy: float) -> Rect:
    return replace(rect, x=rect.x + dx, y=rect.y + dy)
