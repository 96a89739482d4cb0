"""Which experiments of a start run together, on which pairs and from which token on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORTH = 256
"""Tokens that have to be saved for a stack of its own to be worth it."""


class Block(NamedTuple):
    """Rows of a stack: `items` × `pairs` (indexes), computed from token `start` on."""

    items: NDArray[np.int64]
    pairs: NDArray[np.int64]
    start: int


def blocks(first: NDArray[np.int64], length: int, tokens: int) -> Iterator[Block]:
    """Cover everything that changes with blocks.

    Args:
        first: the first token that changes, `length` where nothing does. [items, pairs]
        tokens: how many tokens a block may have, if it has more than one experiment and more than one pair.
    """
    by_pair = first.min(axis=0, initial=length)
    for some, start in _alike(by_pair, length, len(first)):
        most = max(1, tokens // (length - start))
        for begin in range(0, len(some), most):
            pairs = np.sort(some[begin : begin + most])
            by_item = first[:, pairs].min(axis=1)
            order = np.argsort(by_item, kind="stable")
            order = order[by_item[order] < length]
            yield from _chunks(order, pairs, by_item, length, tokens)


def _alike(by_pair: NDArray[np.int64], length: int, items: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Pairs that begin to change at about the same token, with the first of these."""
    order = np.argsort(by_pair, kind="stable")
    order = order[by_pair[order] < length]
    group: list[int] = []
    for pair in order:
        later = int(by_pair[pair] - by_pair[group[0]]) if group else 0
        rest = int((by_pair[order] >= by_pair[pair]).sum())
        if later and later * rest * items >= WORTH:
            yield np.array(group), int(by_pair[group[0]])
            group = []
        group.append(int(pair))
    if group:
        yield np.array(group), int(by_pair[group[0]])


def _chunks(
    order: NDArray[np.int64], pairs: NDArray[np.int64], by_item: NDArray[np.int64], length: int, tokens: int
) -> Iterator[Block]:
    while len(order):
        start = int(by_item[order[0]])
        count = max(1, tokens // (len(pairs) * (length - start)))
        yield Block(order[:count], pairs, start)
        order = order[count:]
