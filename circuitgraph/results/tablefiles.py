"""Dataclasses <-> Parquet: one row per record, its fields as columns. pyarrow is imported on first use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from circuitgraph.errors import FileError
from circuitgraph.results.decode import decoded
from circuitgraph.results.files import file_errors, parsed, write_whole

if TYPE_CHECKING:
    import pyarrow

_ABOUT = "circuitgraph"
"""The key of a file's metadata under which is written what is true of all its rows."""


class Record(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


R = TypeVar("R", bound=Record)
W = TypeVar("W", bound=Record)


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

    types = _types()
    schema = pa.schema([(field.name, types[_kind(field)]) for field in fields(kind)])
    if about is not None:
        schema = schema.with_metadata({_ABOUT: json.dumps(about, ensure_ascii=False, allow_nan=False)})
    table = pa.table([pa.array([getattr(row, f.name) for row in rows], f.type) for f in schema], schema=schema)
    write_whole(path, lambda file: parquet.write_table(table, file))


def read_records(path: Path, kind: type[R]) -> tuple[tuple[R, ...], dict[str, Any]]:
    """What `write_records` wrote; columns this version does not know are left out.

    Raises:
        FileError: missing, damaged, without a column that every version has, or a column holds what its kind has not.
    """
    table = read_table(path, [field.name for field in fields(kind) if field.default is MISSING])
    known = [field for field in fields(kind) if field.name in table.column_names]
    columns = {f.name: typed(path, table, f.name, _kind(f), optional=str(f.type).endswith(_OR_NONE)) for f in known}
    listed = [f.name for f in known if _kind(f).startswith("tuple")]
    plain = {name: column.to_pylist() for name, column in columns.items()}
    plain |= {name: [None if v is None else tuple(v) for v in plain[name]] for name in listed}
    rows = tuple(kind(**dict(zip(plain, row, strict=True))) for row in zip(*plain.values(), strict=True))
    told = (table.schema.metadata or {}).get(_ABOUT.encode())
    about = {} if told is None else parsed(path, told)
    if not isinstance(about, dict):
        raise FileError(f"cannot read {path}: what it says of all its rows is no mapping")
    return rows, about


def read_whole(path: Path, whole: type[W], kind: type[R]) -> W:
    """A record that has `rows`, from its rows and from what is true of all of them.

    Raises:
        FileError: as `read_records`, or what is true of all rows is not there, or of another kind.
    """
    rows, about = read_records(path, kind)
    try:
        found = decoded(whole, about | {"rows": ()}, loose=True)
    except ValueError as error:
        raise FileError(f"cannot read {path}: in what it says of all its rows, {error}") from error
    return replace(found, rows=rows)


def typed(path: Path, table: pyarrow.Table, name: str, kind: str, *, optional: bool) -> pyarrow.ChunkedArray:
    """A column as `kind`: `str`, `float`, `int`, `bool`, `tuple[float, ...]`, `tuple[str, ...]`; numbers are finite.

    A whole number is a number too, and one with a fraction of 0 is whole; text is no number.

    Raises:
        FileError: it is of another kind, or empty in a row where that has no meaning; the message names both.
    """
    import pyarrow as pa

    column = table[name]
    try:
        if not _akin(column.type, kind):
            raise pa.ArrowInvalid(f"it holds {column.type}")
        column = column.cast(_types()[kind])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FileError(f"cannot read {path}: column {name} is not {_WORDS[kind]} ({error})") from error
    if column.null_count and not optional:
        raise FileError(f"cannot read {path}: column {name} is empty in row {_first(column.is_null().to_numpy())}")
    if kind == "float" and not (finite := np.isfinite(column.fill_null(0.0).to_numpy())).all():
        raise FileError(f"cannot read {path}: column {name} is not finite in row {_first(~finite)}")
    if kind.startswith("tuple"):
        within = [chunk.flatten() for chunk in column.chunks]
        if any(part.null_count for part in within):
            raise FileError(f"cannot read {path}: column {name} has lists with empty places")
        if kind == "tuple[float, ...]" and not all(np.isfinite(part.to_numpy()).all() for part in within):
            raise FileError(f"cannot read {path}: column {name} is not finite")
    return column


_OR_NONE = " | None"
_WORDS = {
    "str": "text",
    "float": "numbers",
    "int": "whole numbers",
    "bool": "true or false",
    "tuple[float, ...]": "lists of numbers",
    "tuple[str, ...]": "lists of texts",
}


def _kind(field: Field[Any]) -> str:
    return str(field.type).removesuffix(_OR_NONE)


def _types() -> Mapping[str, Any]:
    import pyarrow as pa

    numbers, texts = pa.list_(pa.float64()), pa.list_(pa.string())
    plain = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
    return {**plain, "tuple[float, ...]": numbers, "tuple[str, ...]": texts}


def _akin(found: Any, kind: str) -> bool:
    """Whether a column's type can stand for a kind: a cast would read text as numbers, and numbers as text."""
    from pyarrow import types

    if types.is_null(found):
        return True
    if types.is_dictionary(found):
        return _akin(found.value_type, kind)
    match kind:
        case "str":
            return types.is_string(found) or types.is_large_string(found)
        case "bool":
            return types.is_boolean(found)
        case "float" | "int":
            return types.is_integer(found) or types.is_floating(found)
        case _:
            member = kind.removeprefix("tuple[").removesuffix(", ...]")
            return (types.is_list(found) or types.is_large_list(found)) and _akin(found.value_type, member)


def _first(where: NDArray[np.bool_]) -> int:
    """The first row in which something is true, counted from 1."""
    return int(np.flatnonzero(where)[0]) + 1


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
