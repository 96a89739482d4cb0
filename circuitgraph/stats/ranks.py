"""How alike two lists of numbers rank the same things, one pair of lists or many at once. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[Any]


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Correlation of ranks, ties sharing their mean rank; None where one of the lists does not vary."""
    return _one(spearman_rows(_row(a), _row(b)))


def kendall(a: ArrayLike, b: ArrayLike) -> float | None:
    """Kendall's tau-b: pairs in the same order less pairs in the other, ties left out; None as above.

    In O(n log n) (Knight 1966): see `kendall_rows`.
    """
    return _one(kendall_rows(_row(a), _row(b)))


def overlap(a: ArrayLike, b: ArrayLike, k: int) -> float:
    """Share of the k largest of one list that are among the k largest of the other: see `overlaps`."""
    return float(overlaps(a, b)[k - 1])


def overlaps(a: ArrayLike, b: ArrayLike) -> Floats:
    """At every k from 1 to n, the share of the k largest of one list that are among the k largest of the other. [n]

    Where the k-th place is shared by equal numbers, each has its part of the places that are left: what is expected
    if equal numbers are put in order at random, in each list by itself. So lists of zeros overlap as chance does.
    """
    x, y = (ranked(-np.asarray(each, dtype=np.float64)[None]) for each in (a, b))
    first, last = np.concatenate([x.first, y.first]), np.concatenate([x.last, y.last])
    count = first.shape[1]
    tied = first != last
    found = _reached(first[:, ~tied.any(axis=0)].max(axis=0), count)
    for one, other in ((0, 1), (1, 0)):
        some = tied[other] & ~tied[one]
        for run in np.unique(first[other, some]):
            members = np.flatnonzero(some & (first[other] == run))
            found += _reached(first[one, members], count) * _part(run, last[other, members[0]], count)
    runs, sizes = np.unique(np.concatenate([first, last])[:, tied.all(axis=0)], axis=1, return_counts=True)
    for (first_a, first_b, last_a, last_b), size in zip(runs.T, sizes, strict=True):
        found += size * _part(first_a, last_a, count) * _part(first_b, last_b, count)
    return found / np.arange(1, count + 1)


def _reached(places: Ints, count: int) -> Floats:
    """How many of these places are among the k first, for every k from 1 to count."""
    return np.cumsum(np.bincount(places, minlength=count)).astype(np.float64)


def _part(first: int, last: int, count: int) -> Floats:
    """For every k, the part of the places from first to last that are among the k first."""
    return np.clip((np.arange(1, count + 1) - first) / (last - first + 1), 0.0, 1.0)


def pearson_rows(x: Floats, y: Floats) -> Floats:
    """The correlation of each row of x with the same row of y; NaN where one of them does not vary. [rows]"""
    if x.shape[1] == 0:
        return np.full(len(x), np.nan)
    # Constant lists are told apart by their values: their mean may differ from them by rounding.
    varies = (x != x[:, :1]).any(axis=1) & (y != y[:, :1]).any(axis=1)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Scaled before they are squared, so that tiny numbers do not vanish.
        x, y = x / np.abs(x).max(axis=1, keepdims=True), y / np.abs(y).max(axis=1, keepdims=True)
        found = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.where(varies, np.clip(found, -1, 1), np.nan)


def spearman_rows(x: Floats, y: Floats) -> Floats:
    """`spearman` of each row of x with the same row of y; NaN where one of them does not vary. [rows]"""
    return spearman_of(ranked(x), ranked(y))


def kendall_rows(x: Floats, y: Floats) -> Floats:
    """`kendall` of each row of x with the same row of y; NaN where one of them does not vary. [rows]"""
    return kendall_of(ranked(x), ranked(y))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rows of numbers, ranked: what both correlations of ranks need. [rows, n] each"""

    order: Ints
    """Where the smallest stands, then the next …"""
    first: Ints
    """How many are smaller: a rank that equal numbers share."""
    last: Ints
    """How many are not larger, less one."""
    ties: Ints
    """In how many pairs of a row both are equal. [rows]"""


def ranked(values: Floats) -> Ranked:
    """The ranks of each row."""
    order = np.argsort(values, axis=1).astype(np.int32)
    first, last = _runs(np.take_along_axis(values, order, axis=1))
    ties = (last - np.arange(values.shape[1])).sum(axis=1)  # each with all that follow it in its run
    return Ranked(order, _put(order, first), _put(order, last), ties)


def spearman_of(x: Ranked, y: Ranked) -> Floats:
    """`spearman_rows` of what is ranked already."""
    return pearson_rows((x.first + x.last) / 2, (y.first + y.last) / 2)


def kendall_of(x: Ranked, y: Ranked) -> Floats:
    """`kendall_rows` of what is ranked already.

    Sorted by x (equal ones by y), the pairs that stand in the other order are the inversions of y.
    """
    rows, count = x.first.shape
    if not (x.ties.any() or y.ties.any()):
        turned, same = np.take_along_axis(y.first, x.order, axis=1), np.zeros(rows, dtype=np.int64)
    else:
        joint = x.first.astype(np.int64) * count + y.first
        order = np.argsort(joint, axis=1, kind="stable")
        _, last = _runs(np.take_along_axis(joint, order, axis=1))
        same = (last - np.arange(count)).sum(axis=1)
        # Equal ones in the order in which they stand: that makes no inversion.
        places = np.argsort(np.take_along_axis(y.first, order, axis=1), axis=1, kind="stable")
        turned = _put(places, np.broadcast_to(np.arange(count, dtype=np.int32), places.shape))
    whole = count * (count - 1) / 2
    untied = (whole - x.ties) * (whole - y.ties)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (whole - x.ties - y.ties + same - 2.0 * _inversions(turned)) / np.sqrt(untied)
    return np.where(untied > 0, found, np.nan)


def _inversions(places: Ints) -> Ints:
    """In how many pairs of each row, a permutation of 0 … n − 1, the larger stands first. [rows]

    From the highest bit down, rows are sorted by the bits seen so far, in stable order: numbers that agree in them
    stand together, at the place that these bits spell. Among them an inversion is a 1 in the next bit before a 0.
    """
    rows, count = places.shape
    found = np.zeros(rows, dtype=np.int64)
    index = np.arange(count, dtype=places.dtype)
    before = np.zeros((rows, count + 1), dtype=places.dtype)
    for bit in range(max(count - 1, 0).bit_length() - 1, -1, -1):
        ones = (places >> bit) & 1
        np.cumsum(ones, axis=1, out=before[:, 1:])
        start = (places >> (bit + 1)) << (bit + 1)
        ones_before = before[:, :-1] - np.take_along_axis(before, start, axis=1)
        found += ((1 - ones) * ones_before).sum(axis=1)
        places = _put(np.where(ones == 1, start + (1 << bit) + ones_before, index - ones_before), places)
    return found


def _runs(ordered: NDArray[np.generic]) -> tuple[Ints, Ints]:
    """Where the run of equal values that each belongs to begins, and where it ends, in sorted rows."""
    rows, count = ordered.shape
    index = np.broadcast_to(np.arange(count, dtype=np.int32), (rows, count))
    new = np.ones((rows, count), dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    if new.all():
        return index, index
    first = np.maximum.accumulate(np.where(new, index, 0), axis=1)
    ends = np.ones((rows, count), dtype=bool)
    ends[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, index, count - 1)[:, ::-1], axis=1)[:, ::-1]
    return first, last


def _put(places: Ints, values: Ints) -> Ints:
    """Each value at its place in its row."""
    found = np.empty_like(values)
    np.put_along_axis(found, places, values, axis=1)
    return found


def _row(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)[None]


def _one(found: Floats) -> float | None:
    return None if np.isnan(found[0]) else float(found[0])
