"""How alike two lists of numbers rank the same things. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Correlation of ranks, ties sharing their mean rank; None where one of the lists does not vary."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return None if size == 0 else float((x * y).sum() / size)


def kendall(a: ArrayLike, b: ArrayLike) -> float | None:
    """Kendall's tau-b: pairs in the same order less pairs in the other, ties left out; None as above."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    total = same_x = same_y = 0.0
    for i in range(len(x) - 1):
        dx, dy = np.sign(x[i + 1 :] - x[i]), np.sign(y[i + 1 :] - y[i])
        total += float((dx * dy).sum())
        same_x += float(np.abs(dx).sum())
        same_y += float(np.abs(dy).sum())
    size = np.sqrt(same_x * same_y)
    return None if size == 0 else float(total / size)


def overlap(a: ArrayLike, b: ArrayLike, k: int) -> float:
    """Share of the k largest of one list that are among the k largest of the other; equal numbers in their order."""
    first, second = (set(np.argsort(-np.asarray(x), kind="stable")[:k].tolist()) for x in (a, b))
    return len(first & second) / k


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    _, place, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[place]
