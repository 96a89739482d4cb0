"""Two samples -> differences B − A with intervals and p-values. Numpy only.

    pairs                      interval                                        p-value
    the same in both runs      of the mean of differences within pairs:        sign flips of these differences,
      (paired)                 `stats.intervals` (bootstrap-t; cluster-t       whole clusters together
                               where pairs have clusters)                      (`stats.significance`)
    others (unpaired)          Welch's t: se² = se_A² + se_B², degrees of      Welch's t
                               freedom by Satterthwaite

Unpaired, each side's se is that of its own mean (cluster-robust CR2 with the degrees of freedom of Bell & McCaffrey
where it has clusters), and df = (se_A² + se_B²)² / (se_A⁴/df_A + se_B⁴/df_B): Welch (1947); Satterthwaite (1946); for
two groups of clusters Imbens & Kolesár (2016). `interval` says `welch-t`; `constant` where neither side varies: then
the difference is what it is, and there is no spread to test it against (p is 1 for 0, else none).

A normalized effect R = mean(x) / mean(g) is brought into the same form by its influence function: of pair i
R + (x_i − R·g_i) / mean(g), whose mean is R and whose spread is that of R to first order (the infinitesimal jackknife,
Efron 1982). So what is said above holds for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuitgraph.comparing.sample import Sample
from circuitgraph.results.records import Row
from circuitgraph.stats import benjamini_hochberg, intervals, sign_flip_p
from circuitgraph.stats.intervals import Floats, degrees_of_freedom, normalized
from circuitgraph.stats.student import t_factors, tails

SEED = 0


@dataclass(frozen=True, eq=False)
class Difference:
    """B − A of each unit. Arrays [units]; NaN where there is none."""

    mean: Floats
    std_error: Floats
    low: Floats
    high: Floats
    method: tuple[str | None, ...]
    p: Floats
    q: Floats


def paired(a: Floats, b: Floats, clusters: Sequence[str] | None, *, tested: bool = True) -> Difference:
    """Of values of the same pairs in the same order. [units, pairs] each; p and q are NaN if not `tested`."""
    values = b - a
    found = intervals(values, clusters, seed=SEED)
    p = sign_flip_p(values, clusters, seed=SEED) if tested else np.full(len(values), np.nan)
    return Difference(found.mean, found.std_error, found.low, found.high, found.method, p, benjamini_hochberg(p))


def unpaired(
    a: Floats, b: Floats, clusters_a: Sequence[str] | None, clusters_b: Sequence[str] | None, level: float = 0.95
) -> Difference:
    """Of values of different pairs: Welch's t. [units, pairs of A] and [units, pairs of B]."""
    # The resamples are not used: without them, and with the same standard errors, intervals come sooner.
    left = intervals(a, clusters_a, seed=SEED, level=level, resamples=0)
    right = intervals(b, clusters_b, seed=SEED, level=level, resamples=0)
    mean = right.mean - left.mean
    squares = np.stack([left.std_error**2, right.std_error**2])
    freedom = np.array([degrees_of_freedom(a.shape[1], clusters_a), degrees_of_freedom(b.shape[1], clusters_b)])
    error = np.sqrt(squares.sum(axis=0))
    fixed = error == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        df = squares.sum(axis=0) ** 2 / (squares**2 / freedom[:, None]).sum(axis=0)
    df = np.clip(np.where(np.isfinite(df), df, 1.0), min(freedom), freedom.sum())
    half = np.where(fixed, 0.0, t_factors(df, level) * error)
    p = np.where(fixed, np.where(mean == 0, 1.0, np.nan), tails(np.abs(mean) / np.where(fixed, 1.0, error), df))
    p = np.where(np.isnan(error), np.nan, p)
    method = [None if np.isnan(e) else "constant" if f else "welch-t" for e, f in zip(error, fixed, strict=True)]
    return Difference(mean, error, mean - half, mean + half, tuple(method), p, benjamini_hochberg(p))


@dataclass(frozen=True, eq=False)
class Shares:
    """Normalized effects of one run. Arrays [units]; NaN where the base has no other prompt, or its gap is unsure."""

    value: Floats
    low: Floats
    high: Floats
    influence: Floats
    """Whose means are the values. [units, pairs]"""


def shares(found: Sample, known: Sequence[Row | None]) -> Shares:
    """Each effect as a share of the gap of its base.

    Args:
        known: the row of each unit in its run's own table, whose interval is taken; None = it is made here.
    """
    units = len(found.effects)
    value, low, high = np.full((3, units), np.nan)
    influence = np.full(found.effects.shape, np.nan)
    for base, gap in found.gaps.items():
        new = [i for i, each in enumerate(found.bases) if each == base and known[i] is None]
        if new:
            made = normalized(found.effects[new], gap, found.clusters, seed=SEED)
            value[new], low[new], high[new] = made.value, made.low, made.high
        for i, row in enumerate(known):
            if row is not None and found.bases[i] == base and row.normalized_effect is not None:
                ends = (row.normalized_effect, row.normalized_ci_low, row.normalized_ci_high)
                value[i], low[i], high[i] = (np.nan if x is None else x for x in ends)
        members = [i for i, each in enumerate(found.bases) if each == base and not np.isnan(value[i])]
        ratio = value[members][:, None]
        influence[members] = ratio + (found.effects[members] - ratio * gap) / gap.mean()
    return Shares(value, low, high, influence)
