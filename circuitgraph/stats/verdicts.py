"""Interval × region of accepted values → verdict. Pure: nothing but numbers.

    supported   the whole interval lies in the region
    refuted     no point of the interval does
    undecided   some do and some do not, or there is no interval

All comparisons are exact; an open boundary is not part of its region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

MOST_PAIRS = 10**9
"""A value for which more pairs are needed lies on the boundary as far as floats can tell."""


class Verdict(StrEnum):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Region:
    """The accepted values: one interval, perhaps endless, perhaps empty."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high):
            raise ValueError(f"the bounds of a region are numbers, not {self.low} and {self.high}")

    def holds(self, x: float) -> bool:
        above = x > self.low if self.open_low else x >= self.low
        return above and (x < self.high if self.open_high else x <= self.high)

    @property
    def empty(self) -> bool:
        if self.low == self.high:
            return self.open_low or self.open_high or math.isinf(self.low)
        return self.low > self.high

    def intersect(self, other: Region) -> Region:
        low, open_low = max((self.low, self.open_low), (other.low, other.open_low))
        high, closed_high = min((self.high, not self.open_high), (other.high, not other.open_high))
        return Region(low, high, open_low, not closed_high)

    def __and__(self, other: Region) -> Region:
        return self.intersect(other)

    def __str__(self) -> str:
        if self.empty:
            return "no value"
        if self.low == self.high:
            return f"exactly {_number(self.low)}"
        bounded = math.isfinite(self.low) and math.isfinite(self.high)
        if bounded and not (self.open_low or self.open_high):
            return f"between {_number(self.low)} and {_number(self.high)}"
        low = f"{'>' if self.open_low else 'at least'} {_number(self.low)}" if math.isfinite(self.low) else ""
        high = f"{'<' if self.open_high else 'at most'} {_number(self.high)}" if math.isfinite(self.high) else ""
        return " and ".join(filter(None, (low, high))) or "any value"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict; while undecided, how many pairs would decide it (None: no number of them can be told)."""

    verdict: Verdict
    pairs_needed: int | None = None


def judge(region: Region, value: float | None, low: float | None, high: float | None, pairs: int) -> Judgement:
    """What the interval [low, high] around `value`, measured on `pairs` pairs, says of the region.

    While undecided, `pairs_needed` is the smallest number of pairs that decides it if the value stays what
    it is and both halves of the interval shrink with √pairs. It is None when the value lies on the boundary,
    so that no number would do, and when there is no interval.

    Args:
        value, low, high: None (or NaN) where there is none; value in the same units as the region.

    Raises:
        ValueError: the interval ends before it begins, or pairs < 1.
    """
    if pairs < 1:
        raise ValueError(f"an interval of {pairs} pairs")
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return Judgement(Verdict.UNDECIDED)
    if low > high:
        raise ValueError(f"an interval from {low} to {high} ends before it begins")
    if region.holds(low) and region.holds(high):
        return Judgement(Verdict.SUPPORTED)
    if (region & Region(low, high)).empty:
        return Judgement(Verdict.REFUTED)
    if value is None or not all(map(math.isfinite, (value, low, high))) or value in (region.low, region.high):
        return Judgement(Verdict.UNDECIDED)

    needed = [pairs + 1]
    if region.holds(value):
        if math.isfinite(region.low):
            needed.append(_pairs(pairs, value, low, region.low, beyond=region.open_low))
        if math.isfinite(region.high):
            needed.append(_pairs(pairs, value, high, region.high, beyond=region.open_high))
    elif value < region.low:
        needed.append(_pairs(pairs, value, high, region.low, beyond=not region.open_low))
    else:
        needed.append(_pairs(pairs, value, low, region.high, beyond=not region.open_high))
    return Judgement(Verdict.UNDECIDED, max(needed) if max(needed) <= MOST_PAIRS else None)


def _pairs(pairs: int, value: float, end: float, boundary: float, *, beyond: bool) -> int:
    """How many pairs bring `end` of the interval back to the boundary, or `beyond` it: from touching to clear of it.

    |end − value| · √(pairs / n) ≤ |boundary − value|, or <. In fractions, so that nothing is rounded.
    """
    exact = pairs * ((Fraction(end) - Fraction(value)) / (Fraction(boundary) - Fraction(value))) ** 2
    return math.floor(exact) + 1 if beyond else math.ceil(exact)


def _number(x: float) -> str:
    return f"{x + 0.0:.12g}"  # + 0.0: no "-0"
