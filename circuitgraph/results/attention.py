"""Attention weights per prompt -> the table of their means, with standard errors and intervals. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from circuitgraph.errors import NotFiniteError
from circuitgraph.graph.reading import AttentionReading
from circuitgraph.nodes import Head
from circuitgraph.results.patterns import AttentionPatterns
from circuitgraph.results.tablefiles import read_whole, write_records
from circuitgraph.showing import Shown
from circuitgraph.stats import intervals, sample_warning

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """The mean attention weight of one head from one position to another, over the prompts.

    Weights are shares of 1: what a head gives to all tokens together is 1. `std_error`, `ci_low` and `ci_high` (95 %)
    are of `weight`; None where there are none.
    """

    group: str | None
    """The group that named the head."""
    head: str
    from_position: str
    """The position that attends."""
    to_position: str | None
    """The position attended to; None = all tokens that are at none of the table's `to` positions."""
    weight: float
    std_error: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    """Prompts."""
    visible: int
    """Prompts in which the token attended to does not come after the one that attends (in causal models)."""
    interval: str | None
    """How the interval was made (see `stats.intervals`); intervals end at 0 and 1."""


@dataclass(frozen=True)
class AttentionTable(Shown):
    """Mean attention weights: rows by head, then `from`, then `to`, and for each `from` what is left."""

    name: str
    model: str
    run: str
    """Of whose prompts: `clean` or `corrupted`."""
    from_positions: tuple[str, ...]
    to_positions: tuple[str, ...]
    n: int
    """Prompts."""
    rows: tuple[AttentionRow, ...]
    warnings: tuple[str, ...] = ()
    patterns: AttentionPatterns | None = field(default=None, compare=False, repr=False)
    """Whole patterns of one prompt, where they were asked for; no part of the table as data or file."""

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a pandas frame, columns as the fields of a row."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """The table as plain data."""
        found = asdict(replace(self, patterns=None))
        del found["patterns"]
        return found

    def write(self, path: Path) -> None:
        """Write it as Parquet: the fields of a row as columns, all else in the file's metadata.

        Raises:
            FileError: the file cannot be written; nothing is left behind.
        """
        about = self.to_json()
        del about["rows"]
        write_records(path, AttentionRow, self.rows, about)

    @classmethod
    def read(cls, path: Path) -> AttentionTable:
        """What `write` wrote.

        Raises:
            FileError: missing or damaged.
        """
        return read_whole(path, AttentionTable, AttentionRow)


def attention_table(
    reading: AttentionReading,
    heads: Sequence[Head],
    weights: NDArray[np.float64],
    rest: NDArray[np.float64],
    visible: NDArray[np.bool_],
    *,
    name: str,
    model: str,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    warnings: Sequence[str] = (),
) -> AttentionTable:
    """Means over prompts of what `execute.weights` read.

    Args:
        heads: the head of each row of `weights`.
        weights: [heads, from, to, pairs].
        rest: the weight of all other tokens. [heads, from, pairs]
        visible: whether the token attended to can be seen. [from, to, pairs]
        clusters: the cluster of each pair; None when pairs are independent.
        seed: of the bootstrap.

    Raises:
        NotFiniteError: NaN or infinity in a weight; the message names head and pair.
    """
    together = np.concatenate([weights, rest[:, :, None]], axis=2)  # [heads, from, to and the rest, pairs]
    _check_finite(heads, together)
    pairs = together.shape[-1]
    seen = np.concatenate([visible.sum(axis=2), np.full((visible.shape[0], 1), pairs)], axis=1)
    small = sample_warning(pairs, clusters)
    return AttentionTable(
        name=name,
        model=model,
        run=reading.run.value,
        from_positions=tuple(map(str, reading.from_positions)),
        to_positions=tuple(map(str, reading.to_positions)),
        n=pairs,
        rows=_rows(reading, heads, together, seen, clusters, seed),
        warnings=(*warnings, *([] if small is None else [small])),
    )


def _rows(
    reading: AttentionReading,
    heads: Sequence[Head],
    together: NDArray[np.float64],
    seen: NDArray[np.int64],
    clusters: Sequence[str] | None,
    seed: int,
) -> tuple[AttentionRow, ...]:
    """One row for each head, query and key, and for all other tokens; `seen`: in how many prompts. [from, to + 1]"""
    pairs = together.shape[-1]
    found = intervals(together.reshape(-1, pairs), clusters, seed=seed)
    low, high = (_within(bound, found.mean).reshape(together.shape[:3]) for bound in (found.low, found.high))
    mean, error = (part.reshape(together.shape[:3]) for part in (found.mean, found.std_error))
    method = np.array(found.method, dtype=object).reshape(together.shape[:3])
    index = {head: h for h, head in enumerate(heads)}
    return tuple(
        AttentionRow(
            group=read.group,
            head=str(read.head),
            from_position=str(query),
            to_position=None if key is None else str(key),
            weight=float(mean[at]),
            std_error=_or_none(error[at]),
            ci_low=_or_none(low[at]),
            ci_high=_or_none(high[at]),
            n=pairs,
            visible=int(seen[at[1:]]),
            interval=method[at],
        )
        for read in reading.heads
        for f, query in enumerate(reading.from_positions)
        for t, key in enumerate((*reading.to_positions, None))
        for at in ((index[read.head], f, t),)
    )


def _check_finite(heads: Sequence[Head], weights: NDArray[np.float64]) -> None:
    bad = np.argwhere(~np.isfinite(weights))
    if len(bad):
        head, *_, pair = bad[0]
        raise NotFiniteError(
            f"the attention of {heads[head]} is not finite in {len(np.unique(bad[:, -1]))} of {weights.shape[-1]} "
            f"prompts, first pair {pair + 1}: {weights[tuple(bad[0])]}"
        )


def _within(bound: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The end of an interval, no further out than a weight can be (or than rounding has brought the mean)."""
    return np.clip(bound, np.minimum(mean, 0), np.maximum(mean, 1))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
