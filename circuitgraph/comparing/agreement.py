"""Effects of two runs -> how alike they rank and weigh the experiments, with intervals. Numpy only.

Correlations are over the matched experiments: these are what is asked about, and are not resampled. What is resampled
are prompt pairs (whole clusters where pairs have clusters), of which all effects are means: in paired runs the same
pairs for both, otherwise each run's own. Intervals are the 2.5 and 97.5 percentiles of what the resamples give
(Efron 1979), widened to hold the value itself: they say by how much it depends on the prompts that were drawn. They
are no confidence intervals of what infinitely many prompts would give: noise of the means makes ranks less alike than
the effects themselves are, and resampling adds to that. Of fewer than SMALLEST_BOOTSTRAP pairs (or clusters) there are
none.

What noise alone takes can be read from `halves`, the rank correlation between two halves of a run's prompts: two
samples as large as the run's own agree by about 2h / (1 + h) (Spearman and Brown 1910).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from circuitgraph.comparing.records import Agreement, Correlation
from circuitgraph.stats.intervals import SMALLEST_BOOTSTRAP, Floats, cluster_codes
from circuitgraph.stats.ranks import kendall_of, overlaps, pearson_rows, ranked, spearman_of

RESAMPLES = 1000
FEWEST = 200
MOST_NUMBERS = 4_000_000
"""Experiments × resamples: of very many experiments the prompts are resampled less often, but FEWEST times."""
AT_ONCE = 65_536
SPLITS, FEWER_SPLITS, MANY = 50, 10, 5000
"""How often prompts are split in halves; for MANY experiments and more, how often then."""
SEED = 0

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Pairs:
    """One run's values per pair whose means are compared: [units, pairs], and the cluster of each pair."""

    values: Floats
    clusters: Sequence[str] | None


def agreement(
    a: Pairs, b: Pairs, *, paired: bool, resamples: int | None = None, progress: Progress | None = None
) -> Agreement:
    """Correlations and overlap of the means over pairs, with intervals from resampled pairs.

    Args:
        paired: whether pair i of A is pair i of B; then the clusters of A are those of both.
        resamples: None = as many as RESAMPLES, FEWEST and MOST_NUMBERS say.
        progress: called with (resamples done, resamples in all).
    """
    means = a.values.mean(axis=1), b.values.mean(axis=1)
    units = len(means[0])
    if resamples is None:
        resamples = int(np.clip(MOST_NUMBERS // max(units, 1), FEWEST, RESAMPLES))
    if min(_units(each)[0].shape[0] for each in (a, b)) < SMALLEST_BOOTSTRAP or units < 2:
        resamples = 0
    whole = _correlations(means[0][None], means[1][None])[:, 0]
    blocks: list[Floats] = []
    for x, y in _resampled(a, b, paired=paired, resamples=resamples):
        blocks.append(_correlations(x, y))
        if progress is not None:
            progress(sum(block.shape[1] for block in blocks), resamples)
    drawn = np.concatenate(blocks, axis=1) if blocks else np.empty((5, 0))
    pearson, spearman, kendall, spearman_size, kendall_size = (
        _correlation(value, draws) for value, draws in zip(whole, drawn, strict=True)
    )
    shares = overlaps(np.abs(means[0]), np.abs(means[1]))
    return Agreement(
        n=units,
        resamples=resamples,
        pearson=pearson,
        spearman=spearman,
        kendall=kendall,
        spearman_size=spearman_size,
        kendall_size=kendall_size,
        overlap=tuple(map(float, shares)),
        halves_a=halves(a),
        halves_b=halves(b),
        halves_size_a=halves(a, sizes=True),
        halves_size_b=halves(b, sizes=True),
    )


def halves(side: Pairs, *, sizes: bool = False) -> float | None:
    """The mean rank correlation between means over two random halves of the prompts (or clusters); None: too few.

    Args:
        sizes: of the absolute values.
    """
    sums, counts = _units(side)
    count, units = sums.shape
    if count < 4 or units < 2:
        return None
    stream = np.random.default_rng([SEED, count, 2])
    found: list[Floats] = []
    for _ in range(SPLITS if units < MANY else FEWER_SPLITS):
        some = np.zeros((1, count))
        some[0, stream.permutation(count)[: count // 2]] = 1.0
        means = [_means(half, sums, counts) for half in (some, 1 - some)]
        found.append(spearman_of(*(ranked(np.abs(each) if sizes else each) for each in means)))
    mean = float(np.mean(found))
    return None if np.isnan(mean) else mean


def _correlations(x: Floats, y: Floats) -> Floats:
    """Pearson, Spearman, Kendall, and the latter two of sizes, of each row. [5, rows]; NaN where a list is constant."""
    plain, sizes = (ranked(x), ranked(y)), (ranked(np.abs(x)), ranked(np.abs(y)))
    return np.stack(
        [pearson_rows(x, y), spearman_of(*plain), kendall_of(*plain), spearman_of(*sizes), kendall_of(*sizes)]
    )


def _correlation(value: float, draws: Floats) -> Correlation:
    if np.isnan(value):
        return Correlation(None, None, None)
    known = draws[~np.isnan(draws)]
    if not len(known):
        return Correlation(float(value), None, None)
    low, high = np.quantile(known, [0.025, 0.975])
    return Correlation(float(value), float(min(low, value)), float(max(high, value)))


def _units(side: Pairs) -> tuple[Floats, Floats]:
    """Sums over clusters [clusters, units], and their sizes; pairs by themselves where there are none."""
    codes = cluster_codes(side.clusters)
    if codes is None:
        return side.values.T, np.ones(side.values.shape[1])
    sums = np.zeros((codes.max() + 1, len(side.values)))
    np.add.at(sums, codes, side.values.T)
    return sums, np.bincount(codes).astype(np.float64)


def _resampled(a: Pairs, b: Pairs, *, paired: bool, resamples: int) -> Iterator[tuple[Floats, Floats]]:
    """Means of both under resampled pairs, some resamples at a time. [resamples, units] each"""
    left, right = _units(a), _units(b)
    stream = np.random.default_rng([SEED, len(left[0]), len(right[0])])
    step = max(1, AT_ONCE // max(len(a.values), 1))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = _counts(stream, rows, len(left[0]))
        other = drawn if paired else _counts(stream, rows, len(right[0]))
        yield _means(drawn, *left), _means(other, *right)


def _counts(stream: np.random.Generator, rows: int, units: int) -> Floats:
    """How often each unit is drawn. [rows, units]"""
    drawn = stream.integers(units, size=(rows, units)) + units * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


def _means(counts: Floats, sums: Floats, sizes: Floats) -> Floats:
    return (counts @ sums) / (counts @ sizes)[:, None]
