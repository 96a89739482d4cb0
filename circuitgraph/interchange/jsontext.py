"""A JSON file -> its value, with the places of names in it. NaN and infinity are read as missing, and counted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuitgraph.errors import FileError, InputError, Problem, SpecError
from circuitgraph.results.files import file_errors

LARGEST = 1 << 30
"""Bytes of a file that is read; EAP-IG's graph of an 8B model has some 120 MB."""
MOST_PROBLEMS = 20
TOO_DEEP = "nested too deeply"
_DEEPEST = 64


def read_bytes(path: Path) -> bytes:
    """A file that is not too large.

    Raises:
        FileError: missing, a directory, unreadable, or larger than LARGEST.
    """
    if not path.exists():
        raise FileError(f"there is no file '{path}'")
    with file_errors("read", path):
        size = path.stat().st_size
        if size > LARGEST:
            raise FileError(f"cannot read {path}: {size:,} bytes; files of up to {LARGEST:,} are read")
        return path.read_bytes()


def read_text(path: Path) -> str:
    """As `read_bytes`, decoded from UTF-8; a byte order mark is dropped.

    Raises:
        FileError: as `read_bytes`.
        InputError: it is no UTF-8 text.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: no UTF-8 text (byte 0x{content[error.start]:02x})") from None


class _RepeatedKeyError(Exception):
    """An object has a key twice."""


@dataclass
class JsonText:
    """The text and the value of a file, and what was found wrong with it so far."""

    path: Path
    text: str
    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    missing: int = 0
    """How many numbers were NaN or infinite."""

    @classmethod
    def read(cls, path: Path) -> JsonText:
        """Read a file.

        Raises:
            FileError: it cannot be read.
            SpecError: it is no JSON, or an object in it has a key twice.
            InputError: it is no UTF-8 text.
        """
        found = cls(path, read_text(path))
        try:
            found.value = json.loads(found.text, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            raise SpecError(str(path), [found._at(error.pos, f"not JSON: {error.msg}")]) from None
        except _RepeatedKeyError as error:
            key = error.args[0]
            raise SpecError(str(path), [found.problem(f"key '{key}' is given twice", key, 2)]) from None
        except RecursionError:
            raise InputError(f"{path}: {TOO_DEEP}") from None
        except ValueError:  # Python reads no number of thousands of digits
            raise InputError(f"{path}: a number has too many digits") from None
        return found

    def problem(self, message: str, name: str = "", nth: int = 1) -> Problem:
        """A problem at the n-th place where `name` is written."""
        for spelled in (json.dumps(name, ensure_ascii=False), json.dumps(name)) if name else ():
            at = -1
            for _ in range(nth):
                after = self.text.find(spelled, at + 1)
                at = after if after >= 0 else at
            if at >= 0:
                return self._at(at, message)
        return Problem(message, file=str(self.path))

    def add(self, message: str, name: str = "") -> None:
        """Note a problem at the place where `name` is written."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(self.problem(message, name))
        elif len(self.problems) == MOST_PROBLEMS:
            self.problems.append(Problem("… and more", file=str(self.path)))

    @property
    def full(self) -> bool:
        """Whether more was found than is told: looking further, for the nearest names, only takes time."""
        return len(self.problems) > MOST_PROBLEMS

    def check(self) -> None:
        """Raise what was noted.

        Raises:
            SpecError: something was.
        """
        if self.problems:
            raise SpecError(str(self.path), self.problems)

    def number(self, value: Any, what: str, name: str) -> float | None:
        """A number; None for null, NaN and infinity. Anything else is noted as a problem."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add(f"{what} must be a number, not {kind_of(value)}", name)
            return None
        number = finite(value)
        self.missing += number is None
        return number

    def flag(self, value: Any, what: str, name: str) -> bool | None:
        """true or false (1 or 0 as well); None for null."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        self.add(f"{what} must be true or false, not {kind_of(value)}", name)
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read otherwise than it stands there."""
        if not self.missing:
            return ()
        numbers = "1 number is" if self.missing == 1 else f"{self.missing:,} numbers are"
        return (f"{self.path}: {numbers} NaN or infinite, and read as missing",)

    def _at(self, index: int, message: str) -> Problem:
        start = self.text.rfind("\n", 0, index) + 1
        end = self.text.find("\n", index)
        source = self.text[start : end if end >= 0 else len(self.text)]
        line = self.text.count("\n", 0, index) + 1
        return Problem(message, line, index - start + 1, source[: index - start + 400])


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        seen: set[str] = set()
        raise _RepeatedKeyError(next(key for key, _ in items if key in seen or seen.add(key)))
    return found


def kind_of(value: Any) -> str:
    """What a JSON value is, for messages."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    return f"{value}"[:40] if isinstance(value, int | float) else type(value).__name__


def finite(value: float) -> float | None:
    """A number as Python computes with it; None for NaN, infinity, and what is beyond the largest."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than it can be written again."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def keys_of(value: Any, keys: Iterable[str]) -> bool:
    """Whether a value is an object with these keys."""
    return isinstance(value, dict) and all(key in value for key in keys)
