"""Collects what is wrong with a spec, each finding with its place in the file. Raises nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from circuitgraph.errors import Problem
from circuitgraph.graph.claims import Origin
from circuitgraph.spec.source import Loc, Place, SpecSource


@dataclass(slots=True)
class Findings:
    """Problems in the order in which they were found.

    Without a source (a spec that was made in Python) a message begins with its place: `edges.3.sender: …`.
    """

    source: SpecSource | None = None
    problems: list[Problem] = field(default_factory=list)

    def add(self, loc: Loc, message: str, *, key: bool = False) -> None:
        """Note a problem with the value (or the key) at `loc`."""
        if self.source is not None:
            self.problems.append(self.source.problem(self._as_written(loc), message, key=key))
        else:
            self.problems.append(Problem(f"{_dotted(loc)}: {message}"))

    def add_at(self, origin: Origin, message: str) -> None:
        """Note a problem with what was written at `origin`."""
        if self.source is not None:
            self.problems.append(self.source.problem_at(Place(origin.line, origin.column), message))
        else:
            self.problems.append(Problem(f"{origin.entry}: {message}"))

    def origin(self, loc: Loc) -> Origin:
        """The place of `loc`, an entry of the spec."""
        place = Place() if self.source is None else self.source.origin(self._as_written(loc))
        return Origin(place.line, place.column, _dotted(loc))

    def _as_written(self, loc: Loc) -> Loc:
        """`loc` as the file has it, where it uses a short form: `movers: [a3.h0]`."""
        values = self.source.values if self.source else {}
        match loc:
            case ("groups", name, "nodes", *rest) if ("groups", name, "nodes") not in values:
                return ("groups", name, *rest)
            case _:
                return loc


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))
