"""Measured and Row <-> Parquet. pyarrow is imported on first use; columns keep their names, new ones are appended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from circuitgraph.errors import FileError
from circuitgraph.results.files import write_whole
from circuitgraph.results.records import Measured, Row
from circuitgraph.results.tablefiles import read_records, read_table, typed, write_records

if TYPE_CHECKING:
    import pyarrow

_ROWS_AT_ONCE = 1_000_000
"""Rows of effects.parquet built in memory at a time."""


def write_part(path: Path, measured: Sequence[Measured]) -> None:
    """One row per experiment × metric × pair: id, metric, pair, metric_base, metric_other, metric_patched, executor.

    Where values are resampled also `draws`: the patched metric in each draw.

    Raises:
        FileError: the file cannot be written; nothing is left behind.
    """
    import pyarrow.parquet as parquet

    table = _pairs_table(measured, None, effect=False, drawn=_any_drawn(measured))
    write_whole(path, lambda file: parquet.write_table(table, file))


def write_effects(path: Path, measured: Sequence[Measured], clusters: Sequence[str] | None) -> None:
    """As `write_part`, with the pair's cluster and effect = metric_patched − metric_base.

    Raises:
        FileError: the file cannot be written; nothing is left behind.
    """
    import pyarrow.parquet as parquet

    drawn = _any_drawn(measured)
    step = max(1, _ROWS_AT_ONCE // max((len(item.metric_base) for item in measured), default=1))

    def write(file: BinaryIO) -> None:
        first = _pairs_table(measured[:step], clusters, effect=True, drawn=drawn)
        with parquet.ParquetWriter(file, first.schema) as writer:
            writer.write_table(first)
            for start in range(step, len(measured), step):
                some = measured[start : start + step]
                writer.write_table(_pairs_table(some, clusters, effect=True, drawn=drawn))

    write_whole(path, write)


def _any_drawn(measured: Sequence[Measured]) -> bool:
    return any(item.draws is not None for item in measured)


def _pairs_table(
    measured: Sequence[Measured], clusters: Sequence[str] | None, *, effect: bool, drawn: bool
) -> pyarrow.Table:
    import pyarrow as pa

    counts = [len(item.metric_base) for item in measured]
    owner = np.repeat(np.arange(len(measured), dtype=np.int32), counts)

    def text(values: Sequence[str]) -> pyarrow.Array:
        distinct = {value: i for i, value in enumerate(dict.fromkeys(values))}
        codes = np.array([distinct[value] for value in values], dtype=np.int32)[owner] if values else owner
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(distinct), pa.string()))

    def numbers(arrays: Sequence[NDArray[np.float64] | None]) -> pyarrow.Array:
        if all(array is not None for array in arrays):
            return pa.array(np.concatenate([np.asarray(a, np.float64) for a in arrays] or [np.empty(0)]))
        chunks = [pa.nulls(n, pa.float64()) if a is None else pa.array(a) for a, n in zip(arrays, counts, strict=True)]
        return pa.concat_arrays(chunks)

    pair = np.concatenate([np.arange(n, dtype=np.int32) for n in counts] or [np.empty(0, np.int32)])
    columns: dict[str, Any] = {
        "id": text([item.id for item in measured]),
        "metric": text([item.metric for item in measured]),
        "pair": pa.array(pair),
        "metric_base": numbers([item.metric_base for item in measured]),
        "metric_other": numbers([item.metric_other for item in measured]),
        "metric_patched": numbers([item.metric_patched for item in measured]),
    }
    if drawn:
        columns["draws"] = pa.concat_arrays([_draws(item) for item in measured])
    if effect:
        names = pa.nulls(len(pair), pa.string()) if clusters is None else pa.array(clusters, pa.string()).take(pair)
        at = list(columns).index("metric_base")
        ordered = list(columns.items())
        columns = dict([*ordered[:at], ("cluster", names), *ordered[at:]])
        columns["effect"] = numbers([item.effect for item in measured])
    columns["executor"] = text([item.executor for item in measured])
    return pa.table(columns)


def _draws(item: Measured) -> pyarrow.Array:
    """The patched metric in each draw, a list per pair."""
    import pyarrow as pa

    kind = pa.list_(pa.float64())
    return pa.nulls(len(item.metric_base), kind) if item.draws is None else pa.array(item.draws.tolist(), kind)


def read_measured(path: Path) -> Iterator[Measured]:
    """The experiments of a part or of effects.parquet, in file order.

    Raises:
        FileError: missing, damaged, or not such a file.
    """
    table = read_table(path, ["id", "metric", "pair", "metric_base", "metric_other", "metric_patched"])
    pair = typed(path, table, "pair", "int", optional=False).to_numpy()
    order = np.arange(len(pair))
    if not np.array_equal(pair, order - np.maximum.accumulate(np.where(pair == 0, order, 0))):
        raise FileError(f"cannot read {path}: its pairs are not complete")
    starts = np.flatnonzero(pair == 0)
    stops = np.append(starts, len(pair))[1:]
    ids, metrics = (_of_blocks(path, table, name, starts, stops) for name in ("id", "metric"))
    # The first runs did not say who measured: there was one executor.
    told = "executor" in table.column_names
    executors = _of_blocks(path, table, "executor", starts, stops) if told else ["literal"] * len(starts)
    base, patched = (
        typed(path, table, name, "float", optional=False).to_numpy() for name in ("metric_base", "metric_patched")
    )
    others = typed(path, table, "metric_other", "float", optional=True)
    valid, other = others.is_valid().to_numpy(), others.to_numpy()
    known = valid[starts]
    if not np.array_equal(valid, np.repeat(known, stops - starts)):
        raise FileError(f"cannot read {path}: metric_other is empty for some pairs of an experiment")
    if "effect" in table.column_names:
        effect = typed(path, table, "effect", "float", optional=False).to_numpy()
        if len(bad := np.flatnonzero(effect != patched - base)):
            raise FileError(f"cannot read {path}: effect is not metric_patched − metric_base in row {bad[0] + 1}")
    drawn = None
    if "draws" in table.column_names:
        drawn = typed(path, table, "draws", "tuple[float, ...]", optional=True)
    for name, metric, executor, start, stop, is_known in zip(
        ids, metrics, executors, starts, stops, known, strict=True
    ):
        block = slice(start, stop)
        draws = None if drawn is None else _drawn(path, name, drawn.slice(start, stop - start))
        yield Measured(name, metric, base[block], other[block] if is_known else None, patched[block], draws, executor)


def _of_blocks(
    path: Path, table: pyarrow.Table, name: str, starts: NDArray[np.intp], stops: NDArray[np.intp]
) -> list[str]:
    """What a column says of each experiment: the same for all its pairs."""
    coded = typed(path, table, name, "str", optional=False).combine_chunks().dictionary_encode()
    codes = coded.indices.to_numpy()
    if len(odd := np.flatnonzero(codes != np.repeat(codes[starts], stops - starts))):
        raise FileError(f"cannot read {path}: {name} in row {odd[0] + 1} is not that of the pairs before it")
    words = coded.dictionary.to_pylist()
    return [words[code] for code in codes[starts]]


def _drawn(path: Path, name: str, draws: pyarrow.ChunkedArray) -> NDArray[np.float64] | None:
    """[pairs, draws] of one experiment; None where it has none."""
    if draws.null_count == len(draws):
        return None
    lists = draws.to_pylist()
    if len({None if each is None else len(each) for each in lists}) > 1:
        raise FileError(f"cannot read {path}: the pairs of {name} have different numbers of draws")
    return np.array(lists, dtype=np.float64)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """The table: one row per experiment and metric, the columns of `Row` in its order.

    Raises:
        FileError: the file cannot be written; nothing is left behind.
    """
    write_records(path, Row, rows)


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of edges.parquet; columns this version does not know are left out.

    Raises:
        FileError: missing, damaged, or without a column that every version has.
    """
    return read_records(path, Row)[0]
