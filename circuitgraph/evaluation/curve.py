"""Faithfulness against the number of parts that are kept, and the areas under and about it. Pure.

CPR and CMD are those of the MIB benchmark (Mueller et al. 2025), over k = the share of the model's edges that are
kept, with the trapezoid rule between the measured points:

    CPR = ∫ F(k) dk        CMD = ∫ |1 − F(k)| dk        k from 0 to 1

CMD between two points is the area of their straight line's distance from 1 at the ends, as in MIB: a line that
crosses 1 is not split there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

MIB_FRACTIONS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The shares of edges at which MIB measures, and 0."""


def mib_counts(total: int) -> tuple[int, ...]:
    """How many of `total` edges are kept at each fraction, rounded down, each number once."""
    return tuple(dict.fromkeys(int(fraction * total + 1e-9) for fraction in MIB_FRACTIONS))


def areas(shares: Sequence[float], faithfulness: Sequence[float]) -> tuple[float, float]:
    """(CPR, CMD) of a curve from share 0 to share 1.

    Args:
        shares: k, increasing, from 0 to 1.
        faithfulness: F at each.

    Raises:
        ValueError: the shares do not run from 0 to 1.
    """
    if len(shares) < 2 or shares[0] != 0 or shares[-1] != 1 or any(b <= a for a, b in pairwise(shares)):
        raise ValueError("a curve runs from share 0 to share 1, each share once")
    if len(shares) != len(faithfulness):
        raise ValueError(f"{len(shares)} shares do not fit {len(faithfulness)} values")
    missing = [abs(1 - value) for value in faithfulness]
    return _trapezoid(shares, faithfulness), _trapezoid(shares, missing)


def _trapezoid(x: Sequence[float], y: Sequence[float]) -> float:
    points = pairwise(zip(x, y, strict=True))
    return sum((right - left) * (low + high) / 2 for (left, low), (right, high) in points)
