"""Scene -> SVG text. Everything a user wrote is escaped; the same scene gives the same bytes."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from circuitgraph.drawing.curves import dashes
from circuitgraph.drawing.scene import Arrow, Box, Panel, Point, Rect, Sample, Scene, Stroke, Text
from circuitgraph.drawing.text import FONT, each_line, one_line

FAMILIES = f"'{FONT}', 'Liberation Sans', Arimo, Arial, Helvetica, sans-serif"


def svg(scene: Scene) -> str:
    """A standalone SVG: `<title>`, `<desc>`, a tooltip on every box and arrow, `data-id` on each experiment's marks."""
    size = f'width="{number(scene.width)}" height="{number(scene.height)}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {number(scene.width)} {number(scene.height)}" '
        f'role="img" font-family="{FAMILIES}">',
        f"<title>{clean(scene.title)}</title>",
        f"<desc>{clean(scene.description)}</desc>",
        f'<rect {size} fill="#ffffff"/>',
    ]
    for name, marks in (
        ("columns", map(_panel, scene.columns)),
        ("clusters", map(_panel, scene.clusters)),
        *((("lines", map(_mark, scene.lines)),) if scene.lines else ()),
        ("arrows", map(_arrow, scene.arrows)),
        ("headers", map(_panel, scene.headers)),
        ("boxes", map(_box, scene.boxes)),
        ("tags", map(_panel, scene.tags)),
        ("notes", map(_panel, scene.notes)),
        ("texts", map(_text, scene.texts)),
        ("legend", map(_mark, scene.legend)),
    ):
        lines += [f'<g class="{name}">', *marks, "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def clean(text: str) -> str:
    """Text that XML can hold, escaped; line breaks stay."""
    return escape(each_line(text))


def number(value: float) -> str:
    """At most two decimals, no trailing zeros, no negative zero."""
    text = f"{value:.2f}"
    if text.endswith("0"):
        text = text[:-3] if text.endswith("00") else text[:-1]
    return "0" if text == "-0" else text


def _points(points: tuple[Point, ...]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def _stroke(stroke: Stroke, pattern: tuple[float, float] | None) -> str:
    text = f' stroke="{stroke.color}" stroke-width="{number(stroke.width)}"'
    if pattern:
        text += f' stroke-dasharray="{" ".join(map(number, pattern))}"'
    if stroke.opacity < 1:
        text += f' stroke-opacity="{number(stroke.opacity)}"'
    return text


def _text(text: Text) -> str:
    bold = ' font-weight="bold"' if text.bold else ""
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    return (
        f'<text x="{number(text.x)}" y="{number(text.y)}" font-size="{number(text.size)}" fill="{text.color}"'
        f"{bold}{anchor}>{clean(text.text)}</text>"
    )


def _panel(panel: Panel) -> str:
    tooltip = f"<title>{clean(panel.tooltip)}</title>" if panel.tooltip else ""
    rect = "" if panel.fill is None else _rect(panel.rect, panel.fill, panel.border, panel.radius)
    return f"<g>{tooltip}{rect}{''.join(map(_text, panel.texts))}</g>"


def _rect(r: Rect, fill: str, border: Stroke | None, round_by: float) -> str:
    radius = f' rx="{number(round_by)}"' if round_by else ""
    outline = _stroke(border, border.pattern) if border else ""
    return (
        f'<rect x="{number(r.x)}" y="{number(r.y)}" width="{number(r.width)}" height="{number(r.height)}"{radius} '
        f'fill="{fill}"{outline}/>'
    )


def _box(box: Box) -> str:
    names = {"node": box.node, "position": box.position, "group": box.group, "id": " ".join(box.ids) or None}
    data = "".join(f" data-{key}={quoteattr(one_line(value))}" for key, value in names.items() if value is not None)
    return f"<g{data}>{_panel(box.panel)}{''.join(map(_panel, box.ports))}</g>"


def _line(curve: tuple[Point, ...], tip: tuple[Point, ...] | None, stroke: Stroke) -> str:
    line = (
        f'<path d="M{_points(curve[:1])} C{_points(curve[1:])}" fill="none"{_stroke(stroke, dashes(curve, stroke))}/>'
    )
    opacity = f' fill-opacity="{number(stroke.opacity)}"' if stroke.opacity < 1 else ""
    return line + (f'<polygon points="{_points(tip)}" fill="{stroke.color}"{opacity}/>' if tip else "")


def _arrow(arrow: Arrow) -> str:
    ids = " ".join(arrow.ids or (arrow.id,))
    sender, receiver = quoteattr(one_line(arrow.sender)), quoteattr(one_line(arrow.receiver))
    data = f' data-id="{ids}" data-sender={sender} data-receiver={receiver}'
    return f"<g{data}><title>{clean(arrow.tooltip)}</title>{_line(arrow.curve, arrow.tip, arrow.stroke)}</g>"


def _mark(mark: Text | Sample | Panel) -> str:
    match mark:
        case Text():
            return _text(mark)
        case Sample():
            return _line(mark.curve, mark.tip, mark.stroke)
        case Panel():
            return _panel(mark)
