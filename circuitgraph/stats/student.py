"""Quantiles of Student's t for any degrees of freedom, whole or not. No scipy.

P(|T| ≤ t) is a regularised incomplete beta function (Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.1),
from its continued fraction (26.5.8 there) on the side where it converges fast; inverted by bisection down to
neighbouring floats. Relative errors stay below 1e-12 up to 1,000 degrees of freedom.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


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


def tails(t: ArrayLike, df: ArrayLike) -> Floats:
    """P(|T| > t), for many t ≥ 0 and df ≥ 1 at once: small ones to their own precision, not to that of 1."""
    t, df = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64))
    whole = df + t * t
    inner, outer = t * t / whole, df / whole
    half = df / 2
    log_beta = math.lgamma(0.5) + _log_gamma(half) - _log_gamma(half + 0.5)
    front = np.exp(0.5 * np.log(np.maximum(inner, 1e-300)) + half * np.log(outer) - log_beta)
    near = inner < 1.5 / (half + 2.5)
    inside = 1.0 - front / 0.5 * _fractions(np.where(near, inner, 0.0), np.full_like(df, 0.5), half)
    beyond = front / half * _fractions(np.where(near, 0.0, outer), half, np.full_like(df, 0.5))
    return np.where(t == 0, 1.0, np.where(near, inside, beyond))


def t_factors(df: ArrayLike, level: float = 0.95) -> Floats:
    """`t_factor` for many degrees of freedom at once.

    Newton's method from the factor of 1e9 degrees of freedom, which is the smallest: P(|T| ≤ t) bends downwards, so
    that every step ends short of the solution and the next one begins nearer to it.

    Raises:
        ValueError: as `t_factor`.
    """
    df = np.asarray(df, dtype=np.float64)
    if df.size and not (df >= 1).all():
        raise ValueError(f"no t quantile for {df.min()} degrees of freedom at level {level}")
    t = np.full_like(df, t_factor(1e9, level))
    log_norm = _log_gamma((df + 1) / 2) - _log_gamma(df / 2) - 0.5 * np.log(df * np.pi)
    for _ in range(60):
        density = 2 * np.exp(log_norm - (df + 1) / 2 * np.log1p(t * t / df))
        step = (tails(t, df) - (1 - level)) / density
        t = t + step
        if not df.size or np.abs(step).max() <= 1e-13 * t.max():
            break
    return t


def _log_gamma(x: Floats) -> Floats:
    distinct, which = np.unique(x, return_inverse=True)
    return np.array([math.lgamma(value) for value in distinct], dtype=np.float64)[which].reshape(x.shape)


def _fractions(x: Floats, a: Floats, b: Floats) -> Floats:
    """`_fraction` for many at once."""
    ratio = value = 1.0 / (1.0 - (a + b) * x / (a + 1))
    step = np.ones_like(x)
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            ratio = 1.0 / (1.0 + term * ratio)
            step = 1.0 + term / step
            value = value * ratio * step
        if x.size == 0 or np.abs(ratio * step - 1.0).max() < 1e-15:
            break
    return value
