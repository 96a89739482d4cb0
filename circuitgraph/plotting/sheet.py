"""A page measured in inches from its top left corner, on which marks have the places that they are given.

Widths of text come from the shipped font's own tables, so that nothing has to be drawn to be measured.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

from circuitgraph.drawing.style import INK, MINUS, SOFT_INK
from circuitgraph.drawing.svg import FAMILIES
from circuitgraph.drawing.text import FONT, width
from circuitgraph.plotting.theme import HEADING, SMALL, TEXT

DPI = 200
INCH = 72.0
MIDDLE = 0.36
"""How far the middle of a capital lies above the baseline, in letter sizes."""
LINE = 1.3
"""Distance of lines, in letter sizes."""


def inches(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text."""
    return width(text, size, bold=bold) / INCH


def line_height(size: float) -> float:
    """Of one line of text, in inches."""
    return LINE * size / INCH


class Sheet:
    """A figure of fixed size; needs `theme.themed`."""

    def __init__(self, wide: float, high: float) -> None:
        from matplotlib.figure import Figure

        self.wide, self.high = wide, high
        self.figure: Any = Figure(figsize=(wide, high), dpi=DPI, facecolor="white")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = TEXT,
        *,
        color: str = INK,
        bold: bool = False,
        across: str = "left",
        up: str = "top",
        rotated: bool = False,
    ) -> None:
        """One line, never read as a formula; `across` and `up` say which part of it lies at (x, y).

        `middle` is the middle of the capitals, whatever letters there are; of rotated text up is left.
        """
        if up == "middle":
            shift, up = MIDDLE * size / INCH, "baseline"
            x, y = (x + shift, y) if rotated else (x, y + shift)
        if text:
            self.figure.text(
                x / self.wide, 1 - y / self.high, text, fontsize=size, color=color,
                fontweight="bold" if bold else "normal", ha=across, va=up,
                rotation=90 if rotated else 0, rotation_mode="anchor" if rotated else "default", parse_math=False,
            )  # fmt: skip

    def lines(self, x: float, y: float, lines: tuple[str, ...], size: float, **how: Any) -> None:
        """Several lines, from y downwards."""
        for number, line in enumerate(lines):
            self.text(x, y + number * line_height(size), line, size, **how)

    def axes(self, x: float, y: float, wide: float, high: float) -> Any:
        """Empty axes without ticks."""
        axes = self.figure.add_axes((x / self.wide, 1 - (y + high) / self.high, wide / self.wide, high / self.high))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_axis_off()
        return axes

    def content(self, kind: str, title: str, description: str) -> bytes:
        """The page as `svg`, `png` or `pdf`: the same bytes each time."""
        file = BytesIO()
        about: dict[str, dict[str, Any]] = {
            "svg": {"Title": title, "Description": description, "Date": None, "Creator": None},
            "pdf": {"Title": title, "Subject": description, "CreationDate": None, "Creator": None, "Producer": None},
            "png": {"Title": title, "Description": description, "Software": None},
        }
        with warnings.catch_warnings():
            # A letter that no font has is drawn as a box.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            self.figure.savefig(file, format=kind, dpi=DPI, metadata=about[kind])
        if kind != "svg":
            return file.getvalue()
        ours = f"'{FONT}', 'DejaVu Sans'"
        return file.getvalue().decode().replace(ours, FAMILIES).encode()


def every(labels: tuple[str, ...], room: float, needed: float) -> int:
    """Each how many-th label is written, so that they do not touch: `room` per label, `needed` for one."""
    if not labels or needed <= room:
        return 1
    return next((step for step in (2, 5, 10, 20, 50, 100) if step * room >= needed), len(labels))


def tick_text(value: float) -> str:
    """A round number of an axis."""
    return f"{value:.6g}".replace("-", MINUS)


def nice_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Round numbers between low and high, 0 among them if it lies there."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return tuple(0.0 if abs(x) < slack else float(x) for x in found if low - slack <= x <= high + slack)


def heading(sheet: Sheet, x: float, y: float, title: tuple[str, ...], subtitle: tuple[str, ...]) -> float:
    """A panel's title and subtitle, upwards from y."""
    y -= len(subtitle) * line_height(SMALL) + len(title) * line_height(HEADING)
    sheet.lines(x, y, title, HEADING, bold=True)
    sheet.lines(x, y + len(title) * line_height(HEADING), subtitle, SMALL, color=SOFT_INK)
    return y
