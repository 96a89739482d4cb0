"""Placing things on a line in a given order: as near to where each wants to be as distances and walls allow."""

from __future__ import annotations

from collections.abc import Sequence


def settle(wishes: Sequence[float], distances: Sequence[float], least: float, most: float) -> list[float]:
    """Places in the order given, least squares from the wishes (isotonic regression), inside [least, most].

    `distances[i]` is the least distance between places i and i + 1; all shrink alike if they do not fit.
    """
    room, needed = max(most - least, 0.0), sum(distances)
    shrink = min(1.0, room / needed) if needed else 1.0
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance * shrink)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wishes, offsets, strict=True):
        pools.append((wish - offset, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools.pop(-2), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    flat = [mean for mean, count in pools for _ in range(count)]
    high = max(most - offsets[-1], least)
    return [min(max(x, least), high) + offset for x, offset in zip(flat, offsets, strict=True)]
