"""Prompt pairs from a file, one at a time: JSONL (an object a line) or CSV (the same columns).

CSV cells: `clean` and `corrupted` hold text, or a JSON array of token ids; `answers` and `wrong_answers`
hold one answer as plain text (spaces count), or a JSON array; `positions` a JSON object; an empty cell
is a key left out.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from circuitgraph.errors import FileError, did_you_mean
from circuitgraph.spec.model import PairSpec

COLUMNS = tuple(PairSpec.model_fields)


class Row(NamedTuple):
    """A pair and the line it begins on (1-based), or what is wrong with that line."""

    line: int
    pair: PairSpec | None = None
    messages: tuple[str, ...] = ()


class _BadRowError(Exception):
    """A row that cannot be read; the message says why."""


def read_pairs(path: Path) -> Iterator[Row]:
    """The rows of a `.jsonl` or `.csv` file, in order; reading goes on after a bad row where it can.

    Raises:
        FileError: the file cannot be opened, or is neither JSONL nor CSV.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(f"'{path.name}' is neither JSONL nor CSV; its name must end in {' or '.join(_READERS)}")
    try:
        with path.open("rb") as file:
            yield from reader(file)
    except FileNotFoundError:
        raise FileError(f"there is no file '{path}'") from None
    except OSError as error:
        raise FileError(f"'{path}' cannot be read: {error.strerror}") from error


def _jsonl(lines: Iterable[bytes]) -> Iterator[Row]:
    for number, raw in enumerate(lines, start=1):
        try:
            text = _decode(raw, number)
            if not text.strip():
                continue
            row = _row(number, _json(text.rstrip()))
        except _BadRowError as error:
            row = Row(number, messages=(str(error),))
        yield row


def _csv(lines: Iterable[bytes]) -> Iterator[Row]:
    reader = csv.reader((_decode(raw, number) for number, raw in enumerate(lines, start=1)), strict=True)
    columns: list[str] = []
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except (_BadRowError, csv.Error) as error:  # what follows cannot be told apart into rows
            yield Row(reader.line_num + isinstance(error, _BadRowError), messages=(str(error),))
            return
        if cells is None:
            return
        if cells and not columns:
            columns = [cell.strip() for cell in cells]
            if messages := _bad_header(columns):
                yield Row(line, messages=messages)
                return
        elif cells:
            yield _csv_row(line, columns, cells)
        line = reader.line_num + 1


def _bad_header(columns: list[str]) -> tuple[str, ...]:
    unknown = [f"'{name}' is no column{did_you_mean(name, COLUMNS)}" for name in columns if name not in COLUMNS]
    twice = [f"column '{name}' comes twice" for name in dict.fromkeys(columns) if columns.count(name) > 1]
    missing = [] if "clean" in columns else ["the first line must name the columns, and 'clean' is not among them"]
    return (*unknown, *twice, *missing)


def _csv_row(line: int, columns: list[str], cells: list[str]) -> Row:
    if len(cells) != len(columns):
        return Row(line, messages=(f"{len(cells)} cells, but there are {len(columns)} columns",))
    try:
        return _row(line, {name: _cell(name, cell) for name, cell in zip(columns, cells, strict=True) if cell})
    except _BadRowError as error:
        return Row(line, messages=(str(error),))


def _cell(name: str, cell: str) -> Any:
    match name:
        case "positions":
            return _json(cell)
        case "answers" | "wrong_answers":
            return _json(cell) if cell.lstrip().startswith("[") else [cell]
        case "clean" | "corrupted" if _TOKEN_IDS.fullmatch(cell):
            return _json(cell)
        case _:
            return cell


def _row(line: int, value: Any) -> Row:
    """A validated pair. Strict: `true` is no token id, `1.0` no index."""
    if not isinstance(value, dict):
        return Row(line, messages=("each line is one JSON object, with at least the key clean",))
    try:
        return Row(line, PairSpec.model_validate_json(json.dumps(value), strict=True))
    except ValidationError as error:
        return Row(
            line, messages=tuple(dict.fromkeys(_explain(detail["loc"], detail["type"]) for detail in error.errors()))
        )


def _explain(loc: tuple[int | str, ...], kind: str) -> str:
    key = str(loc[0])
    match kind:
        case "extra_forbidden":
            return f"'{key}' is no key of a prompt pair{did_you_mean(key, COLUMNS)}"
        case "missing":
            return f"'{key}' is missing"
        case _:
            return f"{key} must be {_EXPECTED[key]}"


def _decode(raw: bytes, number: int) -> str:
    """One line of text; a byte order mark is dropped from the first."""
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        message = (
            f"not UTF-8 text (byte 0x{raw[error.start]:02x} at character {error.start + 1}); save the file as UTF-8"
        )
        raise _BadRowError(message) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _BadRowError(f"not JSON: {error.msg} at character {error.colno}") from None
    except ValueError:  # Python reads no number of thousands of digits
        raise _BadRowError("not a prompt pair: a number has too many digits") from None
    except RecursionError:
        raise _BadRowError("not a prompt pair: nested too deeply") from None


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in items]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise _BadRowError(f"key '{repeated[0]}' is given twice")
    return dict(items)


def _no_constant(name: str) -> Any:
    raise _BadRowError(f"not JSON: {name} is no value")


_TOKEN_IDS = re.compile(r"\s*\[\s*\d+(\s*,\s*\d+)*\s*\]\s*")

_EXPECTED = {
    "clean": "text or a list of token ids",
    "corrupted": "text or a list of token ids",
    "answers": "a list of texts or token ids",
    "wrong_answers": "a list of texts or token ids",
    "positions": 'an object of names and indexes, such as {"S1": 4}',
    "cluster": "a name or a number",
}

_READERS: dict[str, Callable[[Iterable[bytes]], Iterator[Row]]] = {".jsonl": _jsonl, ".csv": _csv}
