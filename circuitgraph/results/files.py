"""Files that are either whole or not there: written beside their place, synced, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from circuitgraph.errors import FileError

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
    """Let `write` fill a new file that takes `path`'s place only once it is complete and on disk.

    Raises:
        FileError: no space, no permission or no such directory; nothing is left behind.
    """
    partial = path.with_name(path.name + PARTIAL)
    with file_errors("write", path):
        try:
            with open(partial, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


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
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: it is damaged ({error})") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def check_writable(path: Path) -> None:
    """Refuse, before the work starts, a place where `write_whole` would fail after it.

    Raises:
        FileError: it is a directory, or no file can be made there.
    """
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a directory")
    partial = path.with_name(path.name + PARTIAL)
    with file_errors("write", path):
        partial.open("wb").close()
        partial.unlink()


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
