"""Quantiles of Student's t for whole degrees of freedom. Exact finite series, no scipy.

Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 (odd) and 26.7.4 (even): all terms
are positive, so nothing cancels; inverted by bisection down to neighbouring floats.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


def within(t: float, df: int) -> float:
    """P(|T| ≤ t) for T with `df` ≥ 1 degrees of freedom and t ≥ 0."""
    theta = math.atan(t / math.sqrt(df))
    sine, cosine = math.sin(theta), math.cos(theta)
    if df % 2:
        k = np.arange(1, (df - 1) // 2)
        series = 1.0 + float(np.cumprod(2 * k / (2 * k + 1) * cosine**2).sum())
        return 2 / math.pi * (theta + (sine * cosine * series if df > 1 else 0.0))
    k = np.arange(1, df // 2)
    return sine * (1.0 + float(np.cumprod((2 * k - 1) / (2 * k) * cosine**2).sum()))


@lru_cache(maxsize=64)
def t_factor(df: int, level: float = 0.95) -> float:
    """The t with P(|T| ≤ t) = level: half an interval's width in standard errors.

    Raises:
        ValueError: df < 1, or level not between 0 and 1.
    """
    if df < 1 or not 0 < level < 1:
        raise ValueError(f"no t quantile for {df} degrees of freedom at level {level}")
    low, high = 0.0, 1.0
    while within(high, df) < level:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if within(middle, df) < level else (low, middle)
    return high
