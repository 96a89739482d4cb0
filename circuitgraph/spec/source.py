"""Where everything in a spec file was written, so that a problem can point at it.

A location (`Loc`) is the way from the top of the file: `("edges", 3, "sender")`.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from circuitgraph.errors import Problem

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, 1-based; 0 = not from a file."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class SpecSource:
    """The text of a spec file and the place of each key and value in it.

    `overridden` holds the locations that an option replaced, with its text (`--set prompts.generator.n=32`); they
    have no place in the file.
    """

    path: str
    lines: tuple[str, ...] = ()
    keys: Mapping[Loc, Place] = field(default_factory=dict)
    values: Mapping[Loc, Place] = field(default_factory=dict)
    overridden: Mapping[Loc, str] = field(default_factory=dict)

    def origin(self, loc: Loc, *, key: bool = False) -> Place:
        """The place of the value (or the key) at `loc`, or of the nearest thing around it."""
        marks = self.keys if key else self.values
        for end in range(len(loc), -1, -1):
            if place := marks.get(loc[:end]) or self.values.get(loc[:end]):
                return place
        return Place()

    def problem(self, loc: Loc, message: str, *, key: bool = False) -> Problem:
        """A problem with the value (or the key) at `loc`, showing its source line."""
        if override := self._override_of(loc):
            return Problem(message, file=override)
        return self.problem_at(self.origin(loc, key=key), message)

    def problem_at(self, place: Place, message: str) -> Problem:
        """A problem at a line and column, showing the source line."""
        line = self.lines[place.line - 1] if 0 < place.line <= len(self.lines) else ""
        return Problem(message, place.line, place.column, line)

    def _override_of(self, loc: Loc) -> str | None:
        for at, text in self.overridden.items():
            if loc[: len(at)] == at or (loc not in self.values and at[: len(loc)] == loc):
                return text
        return None


@dataclass(frozen=True)
class Draft:
    """Plain data as read from a file, its source, and which containers have lost something."""

    data: Any
    source: SpecSource
    wounded: Set[Loc] = frozenset()

    def without(self, dropped: Set[Loc]) -> Draft:
        """The same without the entries at `dropped`; places follow the entries that move up."""
        values: dict[Loc, Place] = {}
        keys: dict[Loc, Place] = {}
        overridden: dict[Loc, str] = {}
        wounded: set[Loc] = set()

        def keep(value: Any, old: Loc, new: Loc) -> Any:
            for kept, marks in ((values, self.source.values), (keys, self.source.keys)):
                if old in marks:
                    kept[new] = marks[old]
            if old in self.source.overridden:
                overridden[new] = self.source.overridden[old]
            if old in self.wounded or any(loc[: len(old)] == old for loc in dropped):
                wounded.add(new)
            match value:
                case dict():
                    return {
                        name: keep(item, (*old, name), (*new, name))
                        for name, item in value.items()
                        if (*old, name) not in dropped
                    }
                case list():
                    kept = [index for index in range(len(value)) if (*old, index) not in dropped]
                    return [keep(value[index], (*old, index), (*new, at)) for at, index in enumerate(kept)]
                case _:
                    return value

        data = keep(self.data, (), ())
        return Draft(data, SpecSource(self.source.path, self.source.lines, keys, values, overridden), wounded)
