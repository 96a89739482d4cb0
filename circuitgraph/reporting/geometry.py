"""Scene -> the page's JSON: places of boxes, clusters, columns, layers and arrows, in tenths of a point.

The page draws what the pictures draw, at the same places; colours and widths it decides itself, as they depend on
the metric that is chosen. Only marks that stand for something are taken: title and legend are the page's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import hypot
from typing import Any

from circuitgraph.drawing.curves import spaced
from circuitgraph.drawing.scene import Arrow, Box, Panel, Point, Rect, Scene

Json = dict[str, Any]
SCALE = 10
"""Units of the page per point: whole numbers are short."""
REACH = 30.0
"""How far from its arrow a note or a letter can be."""
STEP = 4.0
"""Between the points at which arrows are looked at."""
NOTED = 30
"""So many of the strongest experiments may have notes."""


def geometry(scene: Scene, places: Mapping[str, int]) -> Json:
    """The scene's marks; `places`: experiment id → its number on the page.

    Arrows are in the scene's order, the weakest first; those of experiments without a number are left out.
    """
    arrows = [arrow for arrow in scene.arrows if arrow.id in places]
    numbers = {box.key: i for i, box in enumerate(scene.boxes)}
    homes = [_home(box, scene.clusters) for box in scene.boxes]
    strongest = set(list(dict.fromkeys(arrow.id for arrow in reversed(arrows)))[:NOTED])
    noted = [i for i, arrow in enumerate(arrows) if arrow.id in strongest]
    top = min((box.panel.rect.y for box in scene.boxes), default=0.0) - 30
    names = [text for text in scene.texts if text.y > top + 26]
    return {
        "frame": _frame(scene, arrows, [(text.x, text.y) for text in names]),
        "columns": [[*_rect(panel.rect), _said(panel), _tenths(panel.texts[0].y)] for panel in scene.columns],
        "layers": [[_tenths(text.x), _tenths(text.y), text.text] for text in names],
        "clusters": [
            {
                "rect": _rect(cluster.rect),
                "header": _rect(header.rect),
                "lines": [[_tenths(text.y), text.text] for text in header.texts],
                "group": next((box.group for box, at in zip(scene.boxes, homes, strict=True) if at == i), None),
                "tooltip": cluster.tooltip or "",
            }
            for i, (cluster, header) in enumerate(zip(scene.clusters, scene.headers, strict=True))
        ],
        "boxes": [_box(box, home, places) for box, home in zip(scene.boxes, homes, strict=True)],
        "arrows": [
            [places[arrow.id], numbers[arrow.tail], numbers[arrow.head], arrow.port, path(arrow.curve),
             *map(_tenths, arrow.curve[-1]), *map(_tenths, arrow.tip[0])]
            for arrow in arrows
        ],
        "letters": _letters(scene.tags, scene.boxes, arrows),
        "notes": [
            [i, _tenths(panel.rect.center), _tenths(panel.rect.bottom - 0.8)]
            for panel in scene.notes
            if (i := _nearest(panel.rect, arrows, noted)) is not None
        ],
    }  # fmt: skip


def path(curve: Sequence[Point]) -> str:
    """The `d` of an SVG path, in relative whole units; straight pieces are written as lines."""
    at = (_tenths(curve[0][0]), _tenths(curve[0][1]))
    parts, before = [f"M{at[0]} {at[1]}"], "M"
    for i in range(1, len(curve) - 2, 3):
        step = [(_tenths(x) - at[0], _tenths(y) - at[1]) for x, y in curve[i : i + 3]]
        end = step[-1]
        if end == (0, 0):
            continue
        if all(x == 0 for x, _ in step):
            command, numbers = "v", [end[1]]
        else:
            command, numbers = "c", [number for point in step for number in point]
        text = " ".join(map(str, numbers)).replace(" -", "-")
        parts.append(text if command == before == "c" and text[0] == "-" else f"{command}{text}")
        at, before = (at[0] + end[0], at[1] + end[1]), command
    return "".join(parts)


def _tenths(value: float) -> int:
    return round(value * SCALE)


def _rect(rect: Rect) -> list[int]:
    return [_tenths(rect.x), _tenths(rect.y), _tenths(rect.width), _tenths(rect.height)]


def _said(panel: Panel) -> str:
    return " ".join(text.text for text in panel.texts)


def _frame(scene: Scene, arrows: Sequence[Arrow], names: Iterable[Point]) -> list[int]:
    """The rectangle around everything that is drawn."""
    rects = [box.panel.rect for box in scene.boxes] + [panel.rect for panel in (*scene.columns, *scene.clusters)]
    xs = [x for rect in rects for x in (rect.x, rect.right)] + [x for x, _ in names]
    ys = [y for rect in rects for y in (rect.y, rect.bottom)]
    for arrow in arrows:
        xs += [x for x, _ in arrow.curve]
        ys += [y for _, y in arrow.curve]
    left, top = min(xs, default=0.0) - 14, min(ys, default=0.0) - 14
    return _rect(Rect(left, top, max(xs, default=0.0) + 14 - left, max(ys, default=0.0) + 14 - top))


def _home(box: Box, clusters: Sequence[Panel]) -> int | None:
    """The cluster a box stands in."""
    if box.group is None:
        return None
    return next((i for i, cluster in enumerate(clusters) if cluster.rect.holds(box.panel.rect)), None)


def _box(box: Box, home: int | None, places: Mapping[str, int]) -> Json:
    label = box.panel.texts[0]
    found: Json = {"key": box.key, "rect": _rect(box.panel.rect), "label": label.text, "y": _tenths(label.y)}
    if home is not None:
        found["cluster"] = home
    if box.group is not None:
        found["group"] = box.group
    if box.ports:
        found["ports"] = [[*_rect(port.rect), _said(port)] for port in box.ports]
    if ids := [places[id_] for id_ in box.ids if id_ in places]:
        found |= {"items": ids, "note": _tenths(box.panel.texts[-1].y)}
    return found


def _letters(tags: Sequence[Panel], boxes: Sequence[Box], arrows: Sequence[Arrow]) -> list[list[Any]]:
    """[x, y, letter, what it stands for, number of its arrow or -1, number of its box or -1]."""
    found = []
    for tag in tags:
        value, rect = tag.tooltip or "", tag.rect
        box = next((i for i, each in enumerate(boxes) if value in each.unusual and each.panel.rect.overlaps(rect)), -1)
        unusual = (i for i, each in enumerate(arrows) if value in each.unusual)
        arrow = None if box >= 0 else _nearest(rect, arrows, unusual)
        if box >= 0 or arrow is not None:
            middle = _tenths(rect.center), _tenths(rect.y + rect.height / 2)
            found.append([*middle, _said(tag), value, -1 if arrow is None else arrow, box])
    return found


def _nearest(rect: Rect, arrows: Sequence[Arrow], among: Iterable[int]) -> int | None:
    """The number of the arrow that passes nearest to a rectangle; None where none is near."""
    best, least = None, REACH
    for i in among:
        curve = arrows[i].curve
        if _around(curve).overlaps(rect, REACH):
            distance = min(_distance(point, rect) for point in (*spaced(curve, STEP), curve[-1]))
            if distance < least:
                best, least = i, distance
    return best


def _around(curve: Sequence[Point]) -> Rect:
    xs, ys = [x for x, _ in curve], [y for _, y in curve]
    return Rect(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _distance(point: Point, rect: Rect) -> float:
    dx = max(rect.x - point[0], 0.0, point[0] - rect.right)
    dy = max(rect.y - point[1], 0.0, point[1] - rect.bottom)
    return hypot(dx, dy)
