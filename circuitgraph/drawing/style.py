"""How an effect looks: hue and dashes for its sign, width for its size, grey dots where the interval contains 0.

An effect without an interval, of a single pair or cluster, is pale: nothing says how certain it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from circuitgraph.drawing.scene import Dash, Stroke
from circuitgraph.errors import InputError, NotFiniteError
from circuitgraph.graph.claims import CircuitGraph

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

INK = "#1f2733"
SOFT_INK = "#5b6675"
PAPER = "#ffffff"
BAND = "#f5f7fa"
CLUSTER = "#e9edf3"
LINE = "#b4bfcc"
BOX_LINE = "#6b7787"
BADGE = "#eef1f5"

POSITIVE = "#0868ac"
NEGATIVE = "#d1480a"
UNDECIDED = "#7c8591"
NEUTRAL = "#41566f"
UNMEASURED = "#b9c1cb"

WIDEST = 5.0
WIDEST_OF_MANY = 4.0
NARROWEST = 0.9
NARROWEST_IN_A_CROWD = 0.6
PALE = 0.4
"""Opacity of an effect without an interval."""
MINUS = "−"
FULL_INK = 60
"""So many of the strongest experiments are drawn without fading."""
FULL_INK_IN_A_CROWD = 30
CROWD = 200
"""From more measured experiments on, fewer are in full ink and the weak ones are fainter."""
FAINTEST = 0.4
FAINTEST_IN_A_CROWD = 0.16
FAINTEST_DOTS = 0.3
"""What may be 0 is seen, however many there are."""


class Style(StrEnum):
    """What kind of picture: every edge an arrow, or groups as boxes with one arrow between two of them."""

    PLAIN = "plain"
    PAPER = "paper"


class Verdict(StrEnum):
    """What a measured effect says."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    UNDECIDED = "undecided"
    UNTESTED = "untested"
    """There is no interval."""


@dataclass(frozen=True)
class Finding:
    """The measured rows by experiment id, and the scale they are drawn in. Empty = a hypothesis."""

    rows: Mapping[str, Row]
    largest: float
    widest: float
    rank: Mapping[str, int]

    def stroke(self, id_: str, *, crowded: bool) -> Stroke:
        """How the arrows of this experiment are drawn."""
        if not self.rows:
            return Stroke(NEUTRAL, 1.0 if crowded else 1.4, opacity=0.6 if crowded else 0.9)
        if id_ not in self.rows:
            return Stroke(UNMEASURED, NARROWEST)
        row = self.rows[id_]
        width = max(self.width(row.effect), NARROWEST_IN_A_CROWD if self.crowd else NARROWEST)
        ink = self.ink(id_)
        match verdict(row):
            case Verdict.POSITIVE:
                return Stroke(POSITIVE, width, opacity=round(0.92 * ink, 3))
            case Verdict.NEGATIVE:
                return Stroke(NEGATIVE, width, Dash.DASHED, opacity=round(0.92 * ink, 3))
            case Verdict.UNDECIDED:
                return Stroke(UNDECIDED, max(width, 1.1), Dash.DOTTED, opacity=round(max(0.85 * ink, FAINTEST_DOTS), 3))
            case Verdict.UNTESTED:
                dash = Dash.SOLID if row.effect > 0 else Dash.DASHED
                return Stroke(color_of(row), width, dash, opacity=round(PALE * ink, 3))

    @property
    def crowd(self) -> bool:
        """Whether there are very many."""
        return len(self.rows) > CROWD

    @property
    def full_ink(self) -> int:
        """So many of the strongest are drawn without fading."""
        return FULL_INK_IN_A_CROWD if self.crowd else FULL_INK

    def ink(self, id_: str) -> float:
        """1 for the strongest, less and less by rank: the strong ones stand out, however many there are."""
        rank = self.rank[id_]
        least = FAINTEST_IN_A_CROWD if self.crowd else FAINTEST
        return 1.0 if rank < self.full_ink else max(least, (self.full_ink / (rank + 1)) ** 0.7)

    @property
    def digits(self) -> int:
        """Digits after the point that show the largest effect with three significant ones."""
        return max(0, 2 - math.floor(math.log10(self.largest))) if self.largest else 0

    def width(self, effect: float) -> float:
        """Line width, proportional to √|effect|."""
        return self.widest * math.sqrt(abs(effect) / self.largest) if self.largest else 0.0


def finding(graph: CircuitGraph, rows: Sequence[Row] | None) -> Finding:
    """Join the rows of the first metric to the graph's claims.

    Raises:
        InputError: a row belongs to no claim of the graph.
        NotFiniteError: an effect is NaN or infinite.
    """
    first = [row for row in rows if row.metric == rows[0].metric] if rows else []
    for row in first:
        if row.id not in graph.by_id:
            raise InputError(f"row '{row.id}' ({row.label}) belongs to no edge or node of '{graph.name}'")
        if not all(math.isfinite(x) for x in (row.effect, row.ci_low, row.ci_high) if x is not None):
            raise NotFiniteError(f"the effect of '{row.label}' is not finite and cannot be drawn")
    largest = max((abs(row.effect) for row in first), default=0.0)
    order = sorted(first, key=lambda row: -abs(row.effect))
    widest = WIDEST if len(first) <= FULL_INK else WIDEST_OF_MANY
    return Finding({row.id: row for row in first}, largest, widest, {row.id: i for i, row in enumerate(order)})


def verdict(row: Row) -> Verdict:
    """The sign of an effect; undecided: its interval contains 0, or it is 0; untested: it has no interval."""
    if row.effect == 0 or (row.ci_low is not None and not row.significant):
        return Verdict.UNDECIDED
    if row.ci_low is None:
        return Verdict.UNTESTED
    return Verdict.POSITIVE if row.effect > 0 else Verdict.NEGATIVE


def color_of(row: Row) -> str:
    """The hue of an effect: its sign's, unless its interval contains 0."""
    if verdict(row) is Verdict.UNDECIDED:
        return UNDECIDED
    return POSITIVE if row.effect > 0 else NEGATIVE


def number(value: float, digits: int | None = None) -> str:
    """With a real minus sign; `digits` after the point, or three significant ones."""
    if value == 0:
        return "0"
    if digits is None:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}" if digits < 6 and abs(value) < 1e5 else f"{value:.1e}"
    return text.replace("-", MINUS if text.strip("-0.") else "")  # rounded to nothing: no sign


def signed(value: float, digits: int | None = None) -> str:
    """`number` with its sign; what is rounded to nothing has none."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def interval(row: Row) -> str:
    """`+0.52 [+0.41, +0.63]`, or `+0.52 (no interval)`."""
    if row.ci_low is None or row.ci_high is None:
        return f"{signed(row.effect)} (no interval)"
    return f"{signed(row.effect)} [{signed(row.ci_low)}, {signed(row.ci_high)}]"


def tint(color: str, amount: float) -> str:
    """`color` mixed with white; 0 = white, 1 = the color itself."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * amount):02x}" for part in parts)
