"""Means over prompt pairs with standard errors and intervals, for many experiments at once. Numpy only.

One estimator serves all: a ratio R = Σx / Σg over units, its standard error from the residuals x − R·g.

    what                     units           g
    mean effect              pairs           1
    mean effect, clustered   cluster sums    cluster sizes      (cluster-robust: the CR2 sandwich)
    normalized effect        pairs           gap of each pair
    … clustered              cluster sums    gap sums

Intervals are studentised bootstraps (Efron & Tibshirani 1993, §12.5), except that cluster means, and
samples too small or too lopsided to be resampled, use Student's t. `method` says which:

    bootstrap-t      t quantiles from resampled units
    bootstrap-t-cut  the same, of which an end lay beyond every unit and was moved back (see `_reach`)
    cluster-t        Student's t with the degrees of freedom of `_of_clusters`: clusters − 1 where all are
                     of one size, fewer where they are not
    t                Student's t with units − 1: fewer than SMALLEST_BOOTSTRAP units, or more than
                     (1 − level) / 2 of the resamples on one side leave (nearly) no spread to divide by
                     (sixty zeros and one outlier), so that the quantile would not exist
    constant         every unit agrees: the interval is the value, its standard error 0
    None             one unit: no standard error and no interval

The resamples depend on (seed, number of units) alone and are shared by all experiments: equal values
have equal intervals, whatever else is measured beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitgraph.stats.student import t_factor

Floats = NDArray[np.float64]

RESAMPLES = 2000
SMALLEST_BOOTSTRAP = 8
"""Below 8 units there are fewer distinct resamples (1,716 for 7) than are drawn."""
FEW_CLUSTERS = 10
_CHUNK = 256
"""Experiments resampled at once: always this many rows, so that matrix kernels treat all alike."""
_COLLAPSED = 1e-4
"""A resample whose variance is below this share of the sample's has lost what made it vary."""
_ROUNDING = 1e-14
"""Residuals below this share of the values are rounding, not spread."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Arrays of shape [experiments] in the units of the values; NaN where there is none."""

    mean: Floats
    std_error: Floats
    low: Floats
    high: Floats
    method: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Normalized:
    """Arrays of shape [experiments], as shares of the gap; NaN where there is none."""

    value: Floats
    low: Floats
    high: Floats


def intervals(
    values: ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Intervals:
    """The mean of each row with its standard error and two-sided interval.

    Args:
        values: [experiments, pairs], finite.
        clusters: the cluster of each pair (a shared template or twin); None, or all different, when
            the pairs are independent.

    Raises:
        ValueError: values are not a finite matrix with at least one column, or clusters do not fit it.
    """
    matrix = sample_matrix(values, clusters)
    codes = cluster_codes(clusters)
    if codes is None:
        return _ratio(matrix, np.ones(matrix.shape[1]), seed, level, resamples, _of_equals(matrix.shape[1]))
    sizes = np.bincount(codes).astype(np.float64)
    return _ratio(cluster_sums(matrix, codes), sizes, seed, level, 0, _of_clusters(sizes))


def normalized(
    effects: ArrayLike,
    gaps: ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Normalized:
    """mean(effect) / mean(gap) of each row, with an interval that resamples pairs or whole clusters.

    All NaN when the gap's own interval contains 0, or the gap is 0 and has no interval.

    Args:
        effects: [experiments, pairs], finite.
        gaps: [pairs], metric_other − metric_base.

    Raises:
        ValueError: as `intervals`, or the two have different numbers of pairs.
    """
    matrix, gap = sample_matrix(effects, clusters), sample_matrix(np.asarray(gaps)[None], clusters)
    if gap.shape[1] != matrix.shape[1]:
        raise ValueError(f"effects of {matrix.shape[1]} pairs do not fit gaps of {gap.shape[1]}")
    whole = intervals(gap, clusters, seed=seed, level=level, resamples=resamples)
    if whole.mean[0] == 0 or whole.low[0] <= 0 <= whole.high[0]:
        none = np.full(len(matrix), np.nan)
        return Normalized(none, none, none)
    codes = cluster_codes(clusters)
    if codes is not None:
        matrix, gap = cluster_sums(matrix, codes), cluster_sums(gap, codes)
    found = _ratio(matrix, gap[0], seed, level, resamples, _of_equals(matrix.shape[1]))
    return Normalized(found.mean, found.low, found.high)


def degrees_of_freedom(pairs: int, clusters: Sequence[str] | None) -> float:
    """Of the t interval of a mean over so many pairs; those of `_of_clusters` where pairs have clusters."""
    codes = cluster_codes(clusters)
    return (_of_equals(pairs) if codes is None else _of_clusters(np.bincount(codes).astype(np.float64))).df


def cluster_warning(clusters: Sequence[str] | None) -> str | None:
    """What a reader should know when there are too few clusters; None when there is nothing to say."""
    count = len(set(clusters)) if clusters is not None and cluster_codes(clusters) is not None else FEW_CLUSTERS
    if count == 1:
        return "all pairs belong to one cluster: no standard errors or intervals can be given"
    if count < FEW_CLUSTERS:
        return f"only {count} clusters: intervals rest on so few independent samples and may be too narrow"
    return None


def sample_warning(pairs: int, clusters: Sequence[str] | None) -> str | None:
    """What a reader should know of a small sample, of pairs or of clusters; None when there is nothing to say."""
    if warning := cluster_warning(clusters):
        return warning
    if pairs == 1:
        return "a single pair: no standard errors or intervals can be given"
    if pairs < FEW_CLUSTERS:
        return f"only {pairs} pairs: intervals rest on so few independent samples and may be too narrow"
    return None


def sample_matrix(values: ArrayLike, clusters: Sequence[str] | None) -> Floats:
    """[experiments, pairs] in float64.

    Raises:
        ValueError: as `intervals`.
    """
    matrix = np.ascontiguousarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ValueError(f"values must be [experiments, pairs] with at least one pair, not {list(matrix.shape)}")
    if clusters is not None and len(clusters) != matrix.shape[1]:
        raise ValueError(f"{len(clusters)} clusters do not fit {matrix.shape[1]} pairs")
    if not np.isfinite(matrix).all():
        raise ValueError("values must be finite")
    return matrix


def cluster_codes(clusters: Sequence[str] | None) -> NDArray[np.intp] | None:
    """A number per pair, equal for pairs of one cluster, in order of appearance; None = independent."""
    if clusters is None:
        return None
    order = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    independent = len(order) == len(clusters) > 1
    return None if independent else np.array([order[name] for name in clusters], dtype=np.intp)


def cluster_sums(matrix: Floats, codes: NDArray[np.intp]) -> Floats:
    """Row sums per cluster: [experiments, clusters]."""
    order = np.argsort(codes, kind="stable")
    return np.add.reduceat(matrix[:, order], np.searchsorted(codes[order], np.arange(codes.max() + 1)), axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Student:
    """How a t interval is made: its name, what each squared residual is multiplied by, the degrees of freedom."""

    method: str
    inflation: Floats
    df: float


def _of_equals(count: int) -> _Student:
    """Units that count alike: the sample variance, units − 1 degrees of freedom."""
    return _Student("t", np.full(count, count / max(count - 1, 1)), max(count - 1, 1))


def _of_clusters(sizes: Floats) -> _Student:
    """Clusters of n_g pairs: CR2 with the degrees of freedom of Bell & McCaffrey (2002), for the plain mean.

    CR2 multiplies the residuals of a cluster by (I − H_gg)^(−1/2), H the hat matrix; for a mean H_gg = 11'/N, and the
    residual sum e_g is divided by √(1 − n_g/N). The degrees of freedom are those of the scaled χ² that has the mean
    and variance of se² when pairs are independent (see also Imbens & Kolesár 2016): with a_g = n_g² / (1 − n_g/N)

        se² = Σ e_g² / (1 − n_g/N) / N²        df = N² / (Σ n_g² + ((Σ a_g)² − Σ a_g²) / N²)
    """
    if len(sizes) == 1:
        return _of_equals(1)
    total = sizes.sum()
    inflation = 1 / (1 - sizes / total)
    a = sizes**2 * inflation
    df = total**2 / ((sizes**2).sum() + (a.sum() ** 2 - (a**2).sum()) / total**2)
    # 1 ≤ df ≤ clusters − 1, whatever rounding makes of it
    return _Student("cluster-t", inflation, float(np.clip(df, 1, len(sizes) - 1)))


def _ratio(units: Floats, sizes: Floats, seed: int, level: float, resamples: int, student: _Student) -> Intervals:
    """Σ units / Σ sizes of each row, for units [experiments, count] and sizes [count].

    `student` makes the t interval; it is the only one used when `resamples` is 0.
    """
    starts = range(0, max(len(units), 1), _CHUNK)
    blocks = [_block(units[i : i + _CHUNK], sizes, seed, level, resamples, student) for i in starts]
    mean, error, low, high = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("mean", "std_error", "low", "high")
    )
    return Intervals(mean, error, low, high, tuple(name for block in blocks for name in block.method))


def _block(units: Floats, sizes: Floats, seed: int, level: float, resamples: int, student: _Student) -> Intervals:
    """`_ratio` of at most _CHUNK rows."""
    rows, count = units.shape
    value = units.sum(axis=1) / sizes.sum()
    if count == 1:
        none = np.full(rows, np.nan)
        return Intervals(value, none, none, none, (None,) * rows)
    residuals = units - value[:, None] * sizes
    constant = np.abs(residuals).max(axis=1) <= _ROUNDING * np.abs(units).max(axis=1)
    residuals[constant] = 0.0
    error = np.sqrt((student.inflation * residuals**2).sum(axis=1)) / abs(sizes.sum())

    factor = t_factor(student.df, level)
    low, high = value - factor * error, value + factor * error
    method = np.full(rows, student.method, dtype=object)
    if resamples and count >= SMALLEST_BOOTSTRAP:
        lower, upper = _t_quantiles(residuals, sizes, _counts(seed, count, resamples), (1 - level) / 2)
        usable = np.isfinite(lower) & np.isfinite(upper)
        lower, upper = np.where(usable, lower, -factor), np.where(usable, upper, factor)
        least, most = _reach(units, sizes, value, low, high)
        low, high = value - upper * error, value - lower * error
        method[usable] = "bootstrap-t"
        method[(low < least) | (high > most)] = "bootstrap-t-cut"
        low, high = np.maximum(low, least), np.minimum(high, most)
    method[constant] = "constant"
    return Intervals(value, error, low, high, tuple(method))


def _reach(units: Floats, sizes: Floats, value: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """How far a bootstrap interval may reach: to the most extreme unit, or to Student's [low, high] if that is further.

    When few units lie far from the rest, a resample without them has next to no spread to divide by, and the t
    quantile sends the end on the far side of those few to where no unit ever was: 8 pairs near −19.5 and 3 near −1.7
    have [−19, +40]. Cutting it there costs no coverage (docs/definitions.md).

    A unit's value is what it would make of the ratio to first order, R + (x − R·g) / mean(g): x itself where g is 1.
    """
    size = sizes.mean()
    values = (units - value[:, None] * (sizes - size)) / size
    return np.minimum(values.min(axis=1), low), np.maximum(values.max(axis=1), high)


def _t_quantiles(residuals: Floats, sizes: Floats, counts: Floats, tail: float) -> tuple[Floats, Floats]:
    """The `tail` and 1 − `tail` quantiles of t* = (R* − R) / se* per row; infinite where se* collapses.

    With h = sizes / |mean(sizes)| and z = residuals of unit variance, a resample that draws unit i
    c_i times has d = R* − R = Σcz / Σch and Σ(z − d·h)² = Σcz² − 2d·Σczh + d²·Σch²: five sums,
    each a product with the matrix of counts [count, resamples].
    """
    rows, count = residuals.shape
    resamples = counts.shape[1]
    scale = np.sqrt((residuals**2).sum(axis=1, keepdims=True) / (count - 1))
    z = np.zeros((_CHUNK, count))  # padded: see _CHUNK
    z[:rows] = residuals / np.where(scale > 0, scale, 1.0)
    h = sizes / abs(sizes.mean())
    sum_h = h @ counts
    with np.errstate(divide="ignore", invalid="ignore"):
        d = (z @ counts) / sum_h
        spread = z**2 @ counts - 2 * d * ((z * h) @ counts) + d**2 * (h**2 @ counts)
        t = d * np.abs(sum_h) / np.sqrt(count / (count - 1) * np.maximum(spread, 0))
    collapsed = ~(spread > _COLLAPSED * (count - 1))
    t[collapsed] = np.copysign(np.inf, d[collapsed])
    low = max(int((resamples + 1) * tail) - 1, 0)
    high = resamples - 1 - low
    t.partition((low, high), axis=1)
    return t[:rows, low], t[:rows, high]


@lru_cache(maxsize=2)
def _counts(seed: int, count: int, resamples: int) -> Floats:
    """How often each unit is drawn: [count, resamples]; columns sum to `count`."""
    stream = np.random.default_rng([seed % 2**64, count])
    drawn = stream.integers(count, size=(resamples, count)) + count * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
    table = np.ascontiguousarray(counts.T, dtype=np.float64)
    table.flags.writeable = False
    return table
