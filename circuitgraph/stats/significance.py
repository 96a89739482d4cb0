"""Is a mean effect distinguishable from 0, and does it stay so among many? Numpy only.

    same_sign           share of pairs whose effect points where the mean does
    sign_flip_p         p-value of "the effect is symmetric about 0", pairs or whole clusters flipped
    benjamini_hochberg  p-values of a family → q-values (false discovery rate)

The flips depend on (seed, number of units) alone and are shared by all experiments: equal values have
equal p-values, whatever else is measured beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from circuitgraph.stats.intervals import Floats, cluster_codes, cluster_sums, sample_matrix

FLIPS = 9999
_ROWS = 256
"""Experiments flipped at once: always this many rows, so that matrix kernels treat all alike."""
_SIGNS = 2**17
"""Signs held at once (1 MiB), and at most _FLIPS flips."""
_FLIPS = 1024
_ROUNDING = 1e-12
"""Sums that differ by less than this share of Σ|x| differ by rounding."""
_STREAM = 1
"""Keeps the flips apart from the resamples of `intervals`, which are seeded alike."""


def same_sign(values: ArrayLike) -> Floats:
    """The share of pairs whose effect has the sign of the mean effect; NaN where the mean is 0.

    An effect of exactly 0 has no sign and counts as a pair that disagrees.

    Args:
        values: [experiments, pairs], finite.

    Raises:
        ValueError: values are not a finite matrix with at least one column.
    """
    matrix = sample_matrix(values, None)
    total = matrix.sum(axis=1)
    share = np.mean(np.sign(matrix) == np.sign(total)[:, None], axis=1)
    return np.where(np.abs(total) > _ROUNDING * np.abs(matrix).sum(axis=1), share, np.nan)


def sign_flip_p(values: ArrayLike, clusters: Sequence[str] | None = None, *, seed: int, flips: int = FLIPS) -> Floats:
    """Two-sided sign-flip p-value of each row: how often |mean effect| is as large when signs are drawn by lot.

    Units are pairs, or the sums of clusters. If there are no more than `flips` + 1 ways to flip them, all
    are counted, the identity included, and p is exact; otherwise p = (1 + #{|T*| ≥ |T|}) / (1 + flips)
    (Phipson & Smyth 2010). Sums that are equal but for rounding count as equal.

    The test is exact if each unit is as likely to be x as −x under the null; a mean of 0 alone is not enough.

    Args:
        values: [experiments, pairs], finite.
        clusters: the cluster of each pair; None, or all different, when the pairs are independent.

    Returns:
        [experiments]; NaN when there is one unit, 1 where every effect is 0.

    Raises:
        ValueError: as `intervals`, or flips < 1.
    """
    if flips < 1:
        raise ValueError(f"flips must be at least 1, not {flips}")
    matrix = sample_matrix(values, clusters)
    codes = cluster_codes(clusters)
    units = matrix if codes is None else cluster_sums(matrix, codes)
    rows, count = units.shape
    if count == 1:
        return np.full(rows, np.nan)
    # Of the pairs, not of the clusters: pairs that cancel within a cluster leave their rounding behind.
    threshold = np.abs(units.sum(axis=1)) - _ROUNDING * np.abs(matrix).sum(axis=1)
    # Sorted, so that p does not depend on the order of pairs; without signs, since flips give them at random.
    sizes = np.sort(np.abs(units), axis=1)
    exact = count <= 64 and 2**count <= flips + 1
    as_large, drawn = np.zeros(rows), 0
    for signs in _all_signs(count) if exact else _random_signs(seed, count, flips):
        drawn += signs.shape[1]
        for i in range(0, rows, _ROWS):
            block = slice(i, min(i + _ROWS, rows))
            padded = np.zeros((_ROWS, count))
            padded[: block.stop - i] = sizes[block]
            sums = np.abs(padded @ signs)[: block.stop - i]
            as_large[block] += np.count_nonzero(sums >= threshold[block, None], axis=1)
    return as_large / drawn if exact else (1 + as_large) / (1 + drawn)


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """q-values: the smallest false discovery rate at which each is a discovery (Benjamini & Hochberg 1995).

    Args:
        p: [family], between 0 and 1; NaN is no member of the family and stays NaN.

    Raises:
        ValueError: p is no vector, or holds what is no probability.
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p must be [family], not {list(p.shape)}")
    q = np.full(len(p), np.nan)
    members = np.flatnonzero(~np.isnan(p))
    if wrong := [float(x) for x in p[members] if not 0 <= x <= 1]:
        raise ValueError(f"p-values lie between 0 and 1, not {wrong[0]}")
    order = members[np.argsort(p[members])]
    # The quotient first: at the last rank it is exactly 1, and q is never below p.
    raised = p[order] * (len(order) / np.arange(1, len(order) + 1))
    q[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return q


def _all_signs(count: int) -> Iterator[Floats]:
    """Every way to flip `count` units, in blocks [count, ways]; of each way and its mirror image only one."""
    ways = 2 ** (count - 1)
    for start in range(0, ways, _block(count)):
        numbers = np.arange(start, min(start + _block(count), ways))
        yield (1 - 2 * (numbers >> np.arange(count)[:, None] & 1)).astype(np.float64)


def _random_signs(seed: int, count: int, flips: int) -> Iterator[Floats]:
    """`flips` random ways to flip `count` units, in blocks [count, ways]."""
    stream = np.random.default_rng([seed % 2**64, count, _STREAM])
    for start in range(0, flips, _block(count)):
        ways = min(_block(count), flips - start)
        heads = stream.integers(2, size=(ways, count), dtype=np.int8)
        yield np.ascontiguousarray(2 * heads.T - 1, dtype=np.float64)


def _block(count: int) -> int:
    return max(1, min(_FLIPS, _SIGNS // count))
