"""Comparison -> file: pictures (.svg .png .pdf) or data (.json .csv .parquet), whole or not at all."""

from __future__ import annotations

from pathlib import Path

from circuitgraph.comparing.records import Comparison, Comparisons, Matched
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.results.files import check_writable, write_json, write_text
from circuitgraph.results.tablefiles import write_records

PICTURES = (".svg", ".png", ".pdf")
DATA = (".json", ".csv", ".parquet")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Text that begins so is a formula to a spreadsheet."""


def check_output(path: str | Path) -> None:
    """Refuse, before the work starts, a file that could not be written after it.

    Raises:
        InputError: no such format.
        FileError: a directory, or a place where no file can be made.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (*PICTURES, *DATA):
        raise InputError(f"'{path}' names no format by its ending{did_you_mean(suffix, (*PICTURES, *DATA))}")
    check_writable(Path(path))


def write(found: Comparison | Comparisons, path: Path) -> None:
    """The ending picks what is written: the graphs side by side, or the numbers.

    Of a text in a CSV file that a spreadsheet would take for a formula, an apostrophe keeps it text.

    Raises:
        InputError: no such format, or several runs as Parquet.
        FileError: the file cannot be written.
    """
    check_output(path)
    match path.suffix.lower():
        case ".json":
            write_json(path, found.to_json())
        case ".csv":
            write_text(path, _csv(found))
        case ".parquet" if isinstance(found, Comparison):
            write_records(path, Matched, found.rows, _about(found))
        case ".parquet":
            raise InputError(f"'{path}': Parquet holds two runs; of more, write .csv or .json")
        case _:
            from circuitgraph.comparing.picture import picture
            from circuitgraph.drawing import save

            save(picture(found), path)


def _about(found: Comparison) -> dict[str, object]:
    record = found.to_json()
    del record["rows"]
    return record


def _csv(found: Comparison | Comparisons) -> str:
    frame = found.to_frame()
    for name in ("ids_a", "ids_b"):
        frame[name] = [" ".join(ids) for ids in frame[name]]
    for name in ("run_a", "run_b", "key", "label", "sender", "receiver"):
        if name in frame:
            frame[name] = [_text(value) for value in frame[name]]
    return frame.to_csv(index=False)


def _text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
