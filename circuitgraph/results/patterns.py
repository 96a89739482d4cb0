"""Whole attention patterns of one prompt, with its tokens. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class AttentionPatterns:
    """What heads attend to in one prompt, token by token."""

    name: str
    model: str
    pair: int
    """Counted from 1."""
    run: str
    """Whose prompt: `clean` or `corrupted`."""
    tokens: tuple[str, ...]
    names: tuple[str, ...]
    """The names of positions at each token, `S1/A` where there are two; empty where there is none."""
    heads: tuple[str, ...]
    groups: tuple[str | None, ...]
    """The first group that named each head."""
    weights: NDArray[np.float64]
    """Shares of 1: each query's row adds up to what the head gives to all tokens. [heads, query, key]"""
