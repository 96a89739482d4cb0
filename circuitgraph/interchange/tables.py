"""The table of a run <-> CSV that spreadsheets do not run: cells of text that look like a formula begin with `'`.

Columns are those of edges.parquet, then `address` (the experiment's addresses as an arrow) and `receivers` (overwrite
or add, of joined ones). A cell of text that begins with one of = + - @ ' or a tab, a line break or their full-width
forms gets a `'` in front, which reading takes away; numbers are written as they are.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from circuitgraph.errors import Problem, SpecError, did_you_mean
from circuitgraph.graph.claims import CircuitGraph, EdgeClaim, claim_arrow
from circuitgraph.interchange.jsontext import MOST_PROBLEMS, read_text
from circuitgraph.interchange.names import shown
from circuitgraph.results.records import Row

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
EXTRA = ("address", "receivers")
_LARGEST_CELL = 1 << 27


@dataclass(frozen=True)
class Line:
    """One row of the table with what the row itself does not hold."""

    row: Row
    address: str
    receivers: str | None = None


@dataclass(frozen=True)
class Table:
    """The lines of a CSV file, or those of a run."""

    lines: tuple[Line, ...]


def table_of(rows: Sequence[Row], graph: CircuitGraph) -> Table:
    """The rows of a run, of all its metrics."""
    lines = []
    for row in rows:
        claim = graph.by_id[row.id]
        joined = isinstance(claim, EdgeClaim) and len(claim.receivers) > 1
        lines.append(Line(row, claim_arrow(claim), claim.how.receivers.value if joined else None))
    return Table(tuple(lines))


def guarded(text: str) -> str:
    """Text that a spreadsheet shows and does not run."""
    return f"'{text}" if text.startswith(DANGEROUS) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    return text[1:] if text.startswith("'") else text


def table_text(table: Table) -> str:
    """The table as CSV."""
    columns = [field.name for field in fields(Row)]
    lines = [",".join([*columns, *EXTRA])]
    for line in table.lines:
        values = [*asdict(line.row).values(), line.address, line.receivers]
        lines.append(",".join(_quoted(_cell(value)) for value in values))
    return "\n".join([*lines, ""])


def _quoted(cell: str) -> str:
    """A cell as CSV has it; csv.writer of Python before 3.13 leaves a carriage return bare."""
    return '"' + cell.replace('"', '""') + '"' if any(char in cell for char in ',"\r\n') else cell


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            # An empty text and none are told apart; what is no Unicode text cannot be written as UTF-8.
            return guarded(value.encode("utf-8", "replace").decode()) if value else "'"
        case float() | int() if math.isfinite(value):
            return repr(value)
        case _:
            raise ValueError(f"{value} is no value of a table")


def is_table(columns: Sequence[str]) -> bool:
    """Whether the first line of a CSV file is that of such a table."""
    return {"id", "effect"} <= set(columns)


def read_table(path: Path) -> Table:
    """What `table_text` wrote.

    Raises:
        FileError, InputError: it cannot be read.
        SpecError: everything that is wrong with it, by line.
    """
    records = read_records(path)
    columns = records[0].cells if records else []
    types, problems = _types(), []
    missing = [name for name, kind in types.items() if name not in columns and not kind.endswith("?")]
    unknown = [name for name in columns if name not in types]
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    problems += [Problem(f"column '{name}' is missing", 1) for name in missing]
    problems += [Problem(f"'{shown(name)}' is no column{did_you_mean(name, types)}", 1) for name in unknown]
    problems += [Problem(f"column '{name}' comes twice", 1) for name in twice]
    if problems:
        raise SpecError(str(path), problems)
    lines: list[Line] = []
    for record in records[1:]:
        line = _line(columns, record, types, problems)
        if line is not None:
            lines.append(line)
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise SpecError(str(path), problems)
    return Table(tuple(lines))


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of a row of a CSV file, and the line on which it begins."""

    line: int
    cells: list[str]


def read_records(path: Path) -> list[Record]:
    """The rows of a CSV file, without empty ones.

    Raises:
        FileError, InputError: it cannot be read.
        SpecError: it is no CSV.
    """
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    found: list[Record] = []
    line = 1
    try:
        for cells in reader:
            if cells:
                found.append(Record(line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise SpecError(str(path), [Problem(f"not CSV: {error}", reader.line_num)]) from None
    return found


def _types() -> dict[str, str]:
    """Column → `str`, `int` or `float`, with `?` where it may be empty."""
    hints = get_type_hints(Row)
    found = {}
    for field in fields(Row):
        kinds = getattr(hints[field.name], "__args__", (hints[field.name],))
        optional = "?" if type(None) in kinds else ""
        found[field.name] = next(kind.__name__ for kind in kinds if kind is not type(None)) + optional
    return {**found, "address": "str", "receivers": "str?"}


def _line(columns: list[str], record: Record, types: Mapping[str, str], problems: list[Problem]) -> Line | None:
    if len(record.cells) != len(columns):
        problems.append(Problem(f"{len(record.cells)} cells, but there are {len(columns)} columns", record.line))
        return None
    found: dict[str, Any] = {}
    before = len(problems)
    for name, cell in zip(columns, record.cells, strict=True):
        try:
            found[name] = _value(cell, types[name])
        except ValueError:
            problems.append(Problem(f"{name} is '{shown(cell)}'; {_WANTED[types[name].rstrip('?')]}", record.line))
    if len(problems) > before:
        return None
    address, receivers = found.pop("address"), found.pop("receivers", None)
    row: dict[str, Any] = {field.name: found.get(field.name) for field in fields(Row)}
    return Line(Row(**row), address, receivers)


_WANTED = {"str": "a text is needed", "int": "a whole number is needed", "float": "a finite number is needed"}


def _value(cell: str, kind: str) -> Any:
    if not cell:
        if kind.endswith("?"):
            return None
        raise ValueError
    match kind.rstrip("?"):
        case "str":
            return unguarded(cell)
        case "int":
            return int(cell)
        case _:
            number = float(cell)
            if not math.isfinite(number):
                if kind.endswith("?") and math.isnan(number):
                    return None
                raise ValueError
            return number
