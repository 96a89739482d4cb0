"""A metric taken apart, per prompt -> the table of its summands, with intervals. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitgraph.errors import InputError, NotFiniteError
from circuitgraph.results.files import check_writable, write_text
from circuitgraph.results.tablefiles import read_whole, write_records
from circuitgraph.showing import Shown
from circuitgraph.stats import intervals, normalized, sample_warning

if TYPE_CHECKING:
    import pandas


FORMATS = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class AttributionRow:
    """What one component wrote towards a metric: a mean over prompts, in the metric's units.

    `std_error`, `ci_low` and `ci_high` (95 %) are of `value`; None where there are none.
    """

    metric: str
    of: str
    """`clean`, `corrupted` or `difference` (clean − corrupted)."""
    at: str
    """The position at which the metric is read."""
    name: str
    """`embed`, `pos_embed`, `a3`, `a3.h1`, `a3.bias`, `m2`, `m2.n17`, `m2.bias`, `norm.bias`, `unembed.bias`."""
    kind: str
    """`embed`, `position`, `attention`, `head`, `mlp`, `neuron` or `bias`."""
    layer: int | None
    token: str | None
    """Of a head that is split: the position it attended to, or `else`: all others together."""
    value: float
    share: float | None
    """value / mean metric; None where the metric's interval contains 0."""
    std_error: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    """Prompts."""
    interval: str | None
    """How the interval was made (see `stats.intervals`)."""
    values: tuple[float, ...] = field(default=(), repr=False)
    """Per prompt."""

    @property
    def label(self) -> str:
        """`a3.h1`, or `a3.h1 ← IO` for what it fetched from a token."""
        return self.name if self.token is None else f"{self.name} ← {self.token}"


@dataclass(frozen=True, slots=True)
class Total:
    """A metric that was taken apart: its mean, and how exactly its rows add up to it."""

    metric: str
    at: str
    value: float
    residue: float
    """Largest difference over prompts between sum and metric, relative to the size of what is added up."""
    values: tuple[float, ...] = field(default=(), repr=False)
    """The metric per prompt."""


@dataclass(frozen=True)
class AttributionTable(Shown):
    """Rows by metric, then position, then in the order of the model: embeddings, layers, biases at the end."""

    name: str
    model: str
    of: str
    unit: str
    n: int
    """Prompts."""
    rows: tuple[AttributionRow, ...]
    totals: tuple[Total, ...]
    warnings: tuple[str, ...] = ()

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a pandas frame, columns as the fields of a row."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """The table as plain data, without the values per prompt."""
        found = asdict(self)
        for row in (*found["rows"], *found["totals"]):
            del row["values"]
        return found

    def write(self, path: Path) -> None:
        """Write it as Parquet: the fields of a row as columns, all else in the file's metadata.

        Raises:
            FileError: the file cannot be written; nothing is left behind.
        """
        about = asdict(self)
        del about["rows"]
        write_records(path, AttributionRow, self.rows, about)

    def save(self, path: str | Path) -> None:
        """Write all rows to a `.parquet` file (with the values per prompt) or a `.csv` file.

        Raises:
            InputError: another ending.
            FileError: the file cannot be written; nothing is left behind.
        """
        check_output(path)
        if Path(path).suffix == ".parquet":
            self.write(Path(path))
        else:
            write_text(Path(path), self.to_frame().drop(columns="values").to_csv(index=False))

    @classmethod
    def read(cls, path: Path) -> AttributionTable:
        """What `write` wrote.

        Raises:
            FileError: missing or damaged.
        """
        return read_whole(path, AttributionTable, AttributionRow)


def check_output(path: str | Path) -> None:
    """Refuse, before the work starts, a file that could not be written after it.

    Raises:
        InputError: no such format.
        FileError: a directory, or a place where no file can be made.
    """
    if Path(path).suffix not in FORMATS:
        raise InputError(f"'{path}' is no {' or '.join(FORMATS)} file")
    check_writable(Path(path))


class Part(NamedTuple):
    """One summand: `embed`, `a3.h1`, `m2.n17`, `a3.bias`, `norm.bias` …; of a head also the token attended to."""

    name: str
    kind: str
    layer: int | None = None
    token: str | None = None


@dataclass(frozen=True, eq=False)
class Summands:
    """One metric read at one position: the summands, per pair, and the metric itself. float64."""

    metric: str
    at: str
    parts: tuple[Part, ...]
    values: NDArray[np.float64]
    """[parts, pairs]"""
    metrics: NDArray[np.float64]
    """[pairs]"""

    @property
    def residue(self) -> float:
        """The largest difference between sum and metric, relative to the size of what is added up."""
        size = np.maximum(np.abs(self.values).sum(axis=0), np.abs(self.metrics)).max(initial=0)
        return float(np.abs(self.values.sum(axis=0) - self.metrics).max(initial=0) / max(size, 1e-30))


def attribution_table(
    found: Sequence[Summands],
    *,
    name: str,
    model: str,
    of: str,
    unit: str,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    warnings: Sequence[str] = (),
) -> AttributionTable:
    """Means over prompts of what `execute.attribution` took apart.

    Args:
        clusters: the cluster of each pair; None when pairs are independent.
        seed: of the bootstrap.

    Raises:
        NotFiniteError: NaN or infinity in a value; the message names component and pair.
    """
    rows: list[AttributionRow] = []
    for each in found:
        _check_finite(each)
        rows += _rows(each, of, clusters, seed)
    pairs = len(found[0].metrics)
    small = sample_warning(pairs, clusters)
    return AttributionTable(
        name=name,
        model=model,
        of=of,
        unit=unit,
        n=pairs,
        rows=tuple(rows),
        totals=tuple(Total(s.metric, s.at, float(s.metrics.mean()), s.residue, tuple(s.metrics)) for s in found),
        warnings=(*warnings, *([] if small is None else [small])),
    )


def _rows(found: Summands, of: str, clusters: Sequence[str] | None, seed: int) -> list[AttributionRow]:
    means = intervals(found.values, clusters, seed=seed)
    shares = normalized(found.values, found.metrics, clusters, seed=seed).value
    return [
        AttributionRow(
            metric=found.metric,
            of=of,
            at=found.at,
            name=name,
            kind=kind,
            layer=layer,
            token=token,
            value=float(means.mean[i]),
            share=_or_none(shares[i]),
            std_error=_or_none(means.std_error[i]),
            ci_low=_or_none(means.low[i]),
            ci_high=_or_none(means.high[i]),
            n=len(found.metrics),
            interval=means.method[i],
            values=tuple(map(float, found.values[i])),
        )
        for i, (name, kind, layer, token) in enumerate(found.parts)
    ]


def _check_finite(found: Summands) -> None:
    bad = np.argwhere(~np.isfinite(found.values))
    if len(bad):
        part, pair = bad[0]
        raise NotFiniteError(
            f"the attribution of {found.metric} to {found.parts[part][0]} is not finite in "
            f"{len(np.unique(bad[:, 1]))} of {len(found.metrics)} prompts, first pair {pair + 1}: "
            f"{found.values[part, pair]}"
        )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
