"""Counting crossings of straight steps between two rows. Plain numbers: places from left to right, and weights."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

Ways = tuple[Sequence[float], Sequence[float]]
"""Places in rising order, and the sums of the weights of all before each, and of all."""


def inversions(steps: Sequence[tuple[float, float, int]]) -> int:
    """Pairs of steps (lower place, upper place, how many arrows) that cross, each counted with both its weights."""
    rank = {high: i + 1 for i, high in enumerate(sorted({high for _, high, _ in steps}))}
    tree = [0] * (len(rank) + 1)  # Fenwick: sums of weights by rank
    seen = total = 0
    for _, high, weight in sorted(steps):
        at, before = rank[high], 0
        while at:
            before += tree[at]
            at &= at - 1
        total += weight * (seen - before)
        seen += weight
        at = rank[high]
        while at < len(tree):
            tree[at] += weight
            at += at & -at
    return total


def ways(ends: Sequence[tuple[float, int]]) -> Ways:
    """Where the arrows of one thing lead (place, weight), to be compared with another's."""
    inorder = sorted(ends)
    return [place for place, _ in inorder], [0, *accumulate(weight for _, weight in inorder)]


def gain(left: Ways, right: Ways) -> float:
    """By how many crossings two neighbours in this order exceed the same two the other way round."""
    places, sums = right
    total, before = sums[-1], 0.0
    difference = 0.0
    for place, until in zip(left[0], left[1][1:], strict=True):
        crossed, uncrossed = sums[bisect_left(places, place)], total - sums[bisect_right(places, place)]
        difference += (until - before) * (crossed - uncrossed)
        before = until
    return difference
