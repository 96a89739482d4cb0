"""Dataclasses <-> Parquet: one row per record, its fields as columns. pyarrow is imported on first use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from circuitgraph.errors import FileError
from circuitgraph.results.files import file_errors, write_whole

if TYPE_CHECKING:
    import pyarrow

_ABOUT = "circuitgraph"
"""The key of a file's metadata under which is written what is true of all its rows."""


class Record(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


R = TypeVar("R", bound=Record)


def write_records(path: Path, kind: type[R], rows: Sequence[R], about: Mapping[str, Any] | None = None) -> None:
    """A table of one row per record, its fields as columns, with what is true of all of them beside it.

    Args:
        kind: a dataclass of text, numbers and truth values (or None), and tuples of numbers or texts.
        about: JSON types; kept in the file's metadata.

    Raises:
        FileError: the file cannot be written; nothing is left behind.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    types: Mapping[str, Any] = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
    types = types | {"tuple[float, ...]": pa.list_(pa.float64()), "tuple[str, ...]": pa.list_(pa.string())}
    schema = pa.schema([(field.name, types[str(field.type).removesuffix(" | None")]) for field in fields(kind)])
    if about is not None:
        schema = schema.with_metadata({_ABOUT: json.dumps(about, ensure_ascii=False, allow_nan=False)})
    table = pa.table([pa.array([getattr(row, f.name) for row in rows], f.type) for f in schema], schema=schema)
    write_whole(path, lambda file: parquet.write_table(table, file))


def read_records(path: Path, kind: type[R]) -> tuple[tuple[R, ...], dict[str, Any]]:
    """What `write_records` wrote; columns this version does not know are left out.

    Raises:
        FileError: missing, damaged, or without a column that every version has.
    """
    table = read_table(path, [field.name for field in fields(kind) if field.default is MISSING])
    known = [field.name for field in fields(kind) if field.name in table.column_names]
    about = (table.schema.metadata or {}).get(_ABOUT.encode())
    plain = table.select(known).to_pylist()
    rows = tuple(kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in plain)
    return rows, {} if about is None else json.loads(about)


def read_table(path: Path, needed: Sequence[str]) -> pyarrow.Table:
    """A Parquet file that has at least these columns.

    Raises:
        FileError: missing, damaged, or without one of them.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    with file_errors("read", path):
        try:
            table = parquet.ParquetFile(path).read()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise FileError(f"cannot read {path}: it is damaged or no Parquet file ({error})") from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise FileError(f"cannot read {path}: it has no column {', '.join(missing)}")
    return table
