"""How plots look: fonts, colours, and settings of matplotlib that the user's own cannot move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

from circuitgraph.drawing.style import INK, NEGATIVE, POSITIVE, SOFT_INK, tint
from circuitgraph.drawing.text import FONT, FONT_DIRECTORY
from circuitgraph.errors import InputError

MISSING = "plots need matplotlib: pip install 'circuitgraph[plots]'"

TITLE, HEADING, TEXT, SMALL = 11.0, 9.0, 8.0, 7.0
"""Sizes of letters in points."""
UNMEASURED_FILL, UNMEASURED_LINE = "#f3f5f8", "#c3cad4"
DIVERGING = ((0.0, "#7d2a04"), (0.2, NEGATIVE), (0.5, "#ffffff"), (0.8, POSITIVE), (1.0, "#053c66"))
"""Orange below 0, white at 0, blue above it: the hues that circuit pictures give the two signs."""
SEQUENTIAL = ((0.0, "#ffffff"), (0.15, "#e4dcee"), (0.55, "#8e63ae"), (1.0, "#2c0f4a"))
"""Weights from 0 to 1: no hue that means a sign."""

SETTINGS: dict[Any, Any] = {
    "font.family": [FONT, "DejaVu Sans"],
    "font.size": TEXT,
    "text.color": INK,
    "axes.edgecolor": SOFT_INK,
    "xtick.color": SOFT_INK,
    "hatch.linewidth": 0.6,
    "hatch.color": UNMEASURED_LINE,
    "svg.fonttype": "none",
    "svg.hashsalt": "circuitgraph",
    "pdf.fonttype": 42,
    "path.simplify": False,
}


def available() -> bool:
    """Whether matplotlib is installed; it is not imported."""
    try:
        return find_spec("matplotlib") is not None
    except ValueError:  # it is marked as absent
        return False


def require() -> None:
    """Refuse before any work is done.

    Raises:
        InputError: matplotlib is not installed.
    """
    if not available():
        raise InputError(MISSING)


@contextmanager
def themed() -> Iterator[None]:
    """matplotlib with our settings and no others; afterwards it is as it was.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise InputError(MISSING) from error
    _add_font()
    with mpl.rc_context():
        mpl.rcdefaults()
        for key, value in SETTINGS.items():
            mpl.rcParams[key] = value
        yield


@cache
def _add_font() -> None:
    """Make the shipped font known, once."""
    from matplotlib import font_manager

    for file in sorted(FONT_DIRECTORY.glob("*.ttf")):
        font_manager.fontManager.addfont(str(file))


def colours(stops: tuple[tuple[float, str], ...]) -> Any:
    """A colour map through the stops."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("circuitgraph", list(stops), N=511)


def ink_on(rgba: tuple[float, float, float, float]) -> str:
    """Black or white, whichever can be read on a colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if light < 0.22 else INK


def pale(color: str) -> str:
    """The colour of what has no interval."""
    return tint(color, 0.45)
