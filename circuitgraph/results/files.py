"""Files that are either whole or not there: written beside their place, synced, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from circuitgraph.errors import FileError
from circuitgraph.results.names import FORMAT, MANIFEST

PARTIAL = ".tmp"
"""Ending of a file that is being written; one that was left behind by a killed process means nothing."""


@contextmanager
def file_errors(verb: str, path: Path) -> Iterator[None]:
    """Turn what the operating system says into `cannot <verb> <path>: <reason>`.

    Raises:
        FileError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        place = f" ({error.filename})" if error.filename and str(error.filename) != str(path) else ""
        raise FileError(f"cannot {verb} {path}: {reason}{place}") from error


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a new file that takes `path`'s place only once it is complete and on disk; links are followed.

    Raises:
        FileError: no space, no permission or no such directory; nothing is left behind.
    """
    place = _place(path)
    partial = place.with_name(place.name + PARTIAL)
    with file_errors("write", path):
        try:
            with open(partial, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, place)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        sync_directory(place.parent)


def _place(path: Path) -> Path:
    """Where a file is written: a link stays, and what it points to is written.

    Raises:
        FileError: there is no directory for it.
    """
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        raise FileError(
            f"cannot write {path}: there is no directory {place.parent if path.is_symlink() else path.parent}"
        )
    return place


def write_bytes(path: Path, content: bytes) -> None:
    """`write_whole` for bytes."""
    write_whole(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """`write_whole` for UTF-8 text."""
    write_bytes(path, text.encode())


def write_texts(texts: Mapping[Path, str]) -> None:
    """Several files of UTF-8 text, which take their places, in this order, only once all of them are on disk.

    Raises:
        FileError: one cannot be written. What was there before is there still, and what was not is not.
    """
    partials = {path: path.with_name(path.name + PARTIAL) for path in texts}
    new = [path for path in texts if not path.exists()]
    try:
        for path, partial in partials.items():
            with file_errors("write", path), open(partial, "wb") as file:
                file.write(texts[path].encode())
                file.flush()
                os.fsync(file.fileno())
        for path, partial in partials.items():
            with file_errors("write", path):
                os.replace(partial, path)
    except BaseException:
        for path in (*partials.values(), *new):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    for directory in {path.parent for path in texts}:
        sync_directory(directory)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """`write_whole` for strict JSON.

    Raises:
        ValueError, TypeError: the value holds NaN, infinity or something that is no JSON type.
        FileError: as `write_whole`.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        FileError: the file is missing, or no strict JSON.
    """
    with file_errors("read", path):
        content = path.read_bytes()
    return parsed(path, content)


def parsed(path: Path, content: bytes) -> Any:
    """The strict JSON that `path` holds.

    Raises:
        FileError: it is none.
    """
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: it is damaged ({error})") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def check_writable(path: Path, own: Collection[str] = ()) -> None:
    """Refuse, before the work starts, a place where `write_whole` would fail after it, or would spoil a run.

    Args:
        own: as `check_no_runs_file`.

    Raises:
        FileError: it is a directory, or no file can be made there, or it lies in a run directory.
    """
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a directory")
    check_no_runs_file(path, own)
    place = _place(path)
    if place.exists() and not place.is_file():
        raise FileError(f"cannot write {path}: it is no plain file")
    partial = place.with_name(place.name + PARTIAL)
    with file_errors("write", path):
        partial.open("wb").close()
        partial.unlink()


def check_no_runs_file(path: Path, own: Collection[str] = ()) -> None:
    """Refuse a place in a run directory: a run's files are its own, and others would be in the way of its replacement.

    Args:
        own: names in the run directory that the caller writes anew, as a run does itself (`circuit.svg`, `plots`).

    Raises:
        FileError: the message names the run directory.
    """
    place = Path(os.path.realpath(path))
    for run in place.parents[:2]:
        if place.relative_to(run).parts[0] not in own and _is_run(run):
            raise FileError(
                f"cannot write {path}: {_shown(run, path)} is a run directory, which holds the files of its run alone; "
                "choose a place beside it"
            )


def _is_run(directory: Path) -> bool:
    """Whether a directory holds the run.json of a run, be it damaged."""
    with file_errors("read", directory / MANIFEST):
        try:
            content = (directory / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return json.dumps(FORMAT).encode() in content
    return isinstance(found, dict) and found.get("format") == FORMAT


def _shown(directory: Path, path: Path) -> Path:
    """A directory above a path as the path calls it."""
    return next((above for above in path.parents if Path(os.path.realpath(above)) == directory), directory)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
