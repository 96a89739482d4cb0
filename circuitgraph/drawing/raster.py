"""Scene -> PNG or PDF bytes, at the scene's own positions, in the font that ships with the package.

Graphviz only paints: the whole picture is handed to it as one background drawing (`_background`, in the
xdot language) of an empty graph that `nop2` leaves as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import hypot
from typing import Literal

from circuitgraph.drawing.curves import Curve, dashes, points
from circuitgraph.drawing.process import graphviz
from circuitgraph.drawing.scene import Arrow, Panel, Point, Rect, Sample, Scene, Stroke, Text
from circuitgraph.drawing.text import FONT, one_line

DOTS_PER_INCH = 144
FINE = 8
"""Units per point. Graphviz rounds the width of every letter to a unit, so a unit has to be small."""
LARGEST_SIDE = 16000
"""Pixels; larger pictures are painted at a lower resolution."""
CORNER = 0.5523
"""How far the control points of a quarter circle lie from its ends."""


def raster(scene: Scene, kind: Literal["png", "pdf"]) -> bytes:
    """The picture as a PNG (144 dpi) or PDF file.

    Raises:
        ResourceError: the painter failed; the message carries what it said.
    """
    dpi = min(DOTS_PER_INCH, LARGEST_SIDE * 72 / max(scene.width, scene.height))
    attributes = {
        "bb": f"0,0,{FINE * scene.width:g},{FINE * scene.height:g}",
        "dpi": f"{dpi / FINE:g}",
        "pad": "0",
        "margin": "0",
        "bgcolor": "white",
        "_background": " ".join(_Painter(scene).paint()),
    }
    return graphviz("nop2", kind, dot="digraph {}", attributes=attributes)


class _Painter:
    """Spells a scene in xdot; y is turned upwards."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def paint(self) -> Iterator[str]:
        """All drawing operations, background first, in the order of the SVG."""
        scene = self.scene
        yield from self._rect(Rect(0, 0, scene.width, scene.height), "#ffffff", None, 0)
        for panel in (*scene.columns, *scene.clusters):
            yield from self._panel(panel)
        for line in (*scene.lines, *scene.arrows):
            yield from self._arrow(line)
        for panel in scene.headers:
            yield from self._panel(panel)
        for box in scene.boxes:
            yield from self._panel(box.panel)
            for port in box.ports:
                yield from self._panel(port)
        for panel in (*scene.tags, *scene.notes):
            yield from self._panel(panel)
        for mark in (*scene.texts, *scene.legend):
            match mark:
                case Text():
                    yield from self._text(mark)
                case Sample():
                    yield from self._arrow(mark)
                case Panel():
                    yield from self._panel(mark)

    def _points(self, points: Sequence[Point]) -> str:
        return f"{len(points)} " + " ".join(f"{FINE * x:.1f} {FINE * (self.scene.height - y):.1f}" for x, y in points)

    def _pen(self, stroke: Stroke) -> str:
        return f"{_color('c', stroke.color, stroke.opacity)} {_sized('S', f'setlinewidth({FINE * stroke.width:.2f})')}"

    def _rect(self, rect: Rect, fill: str, border: Stroke | None, radius: float) -> Iterator[str]:
        outline = _rounded(rect, radius)
        yield f"{_color('C', fill)} {_color('c', fill)} {_sized('S', 'setlinewidth(0)')}"
        if radius:
            yield f"b {self._points(outline)}"
        else:
            corners = ((rect.x, rect.y), (rect.right, rect.y), (rect.right, rect.bottom), (rect.x, rect.bottom))
            yield f"P {self._points(corners)}"
        if border:
            yield from self._line(outline, border, border.pattern)

    def _panel(self, panel: Panel) -> Iterator[str]:
        if panel.fill is not None:
            yield from self._rect(panel.rect, panel.fill, panel.border, panel.radius)
        for text in panel.texts:
            yield from self._text(text)

    def _text(self, text: Text) -> Iterator[str]:
        line = one_line(text.text)
        if line:
            align = {"start": -1, "middle": 0, "end": 1}[text.anchor]
            yield f"{_color('c', text.color)} F {FINE * text.size:g} {_counted(FONT + (' Bold' if text.bold else ''))}"
            yield f"T {FINE * text.x:.1f} {FINE * (self.scene.height - text.y):.1f} {align} 0 {_counted(line)}"

    def _arrow(self, arrow: Arrow | Sample) -> Iterator[str]:
        yield from self._line(arrow.curve, arrow.stroke, dashes(arrow.curve, arrow.stroke))
        if arrow.tip:
            color = arrow.stroke.color
            yield f"{_color('C', color, arrow.stroke.opacity)} {_color('c', color, 0)} P {self._points(arrow.tip)}"

    def _line(self, curve: Curve, stroke: Stroke, pattern: tuple[float, float] | None) -> Iterator[str]:
        yield self._pen(stroke)
        if pattern is None:
            yield f"B {self._points(curve)}"
        else:
            yield from (f"L {self._points(dash)}" for dash in _pieces(curve, *pattern))


def _color(operation: str, color: str, opacity: float = 1.0) -> str:
    return _sized(operation, f"{color}{round(255 * opacity):02x}")


def _sized(operation: str, text: str) -> str:
    return f"{operation} {_counted(text)}"


def _counted(text: str) -> str:
    return f"{len(text.encode('utf-8'))} -{text}"


def _rounded(rect: Rect, radius: float) -> Curve:
    """The outline as a closed chain of cubic Béziers."""
    x0, y0, x1, y1, r = rect.x, rect.y, rect.right, rect.bottom, radius
    k = r * (1 - CORNER)
    return (
        (x0 + r, y0), (x0 + r, y0), (x1 - r, y0), (x1 - r, y0), (x1 - k, y0), (x1, y0 + k), (x1, y0 + r),
        (x1, y0 + r), (x1, y1 - r), (x1, y1 - r), (x1, y1 - k), (x1 - k, y1), (x1 - r, y1),
        (x1 - r, y1), (x0 + r, y1), (x0 + r, y1), (x0 + k, y1), (x0, y1 - k), (x0, y1 - r),
        (x0, y1 - r), (x0, y0 + r), (x0, y0 + r), (x0, y0 + k), (x0 + k, y0), (x0 + r, y0),
    )  # fmt: skip


def _pieces(curve: Curve, on: float, off: float) -> Iterator[list[Point]]:
    """The pieces of a curve that are drawn, as polylines; Graphviz' own dashes do not grow with the line."""
    drawing, left = True, on
    dash: list[Point] = [curve[0]]
    for start, end in pairwise([*points(curve), curve[-1]]):
        length = hypot(end[0] - start[0], end[1] - start[1])
        at = 0.0
        while length - at > left:
            at += left
            point = (start[0] + (end[0] - start[0]) * at / length, start[1] + (end[1] - start[1]) * at / length)
            if drawing:
                yield [*dash, point]
            drawing, left, dash = not drawing, off if drawing else on, [point]
        left -= length - at
        dash.append(end)
    if drawing and len(dash) > 1:
        yield dash
