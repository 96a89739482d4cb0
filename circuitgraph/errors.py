"""Every error a user can meet, and the exit status each one gives.

CircuitGraphError             exit
├── InputError                2     bad input or bad usage
│   ├── AddressError          2     a node address that cannot be read
│   ├── SpecError             2     the problems of one file, all at once
│   ├── RefusedError          2     a well-formed plan that cannot be run as asked
│   └── UncheckedError        2     --strict, and something could not be checked
├── VerdictError                    what `test` found is not what the spec expects
│   ├── RefutedError          1     a hypothesis is refuted
│   └── UndecidedError        3     none is refuted, and one is undecided
├── NotFiniteError            4     NaN or infinity in a result
├── AuditError                4     a proof about the model or an executor failed
└── ResourceError             5     something outside the spec
    ├── FileError             5     a file or directory that cannot be used
    ├── LockError             5     another process writes to the run directory
    └── ModelError            5     a model that cannot be loaded
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class CircuitGraphError(Exception):
    """Base of all errors that are shown to the user without a traceback."""

    exit_status = 2


class InputError(CircuitGraphError):
    """Bad input or bad usage."""


class AddressError(InputError):
    """A node address that cannot be read."""


class RefusedError(InputError):
    """A well-formed plan that cannot be run as asked; the message names the reason."""


class UncheckedError(InputError):
    """Under `--strict`: something could not be checked."""


class VerdictError(CircuitGraphError):
    """What was measured is not what the spec expects."""


class RefutedError(VerdictError):
    """A hypothesis is refuted: its whole interval lies where it was not expected."""

    exit_status = 1


class UndecidedError(VerdictError):
    """No hypothesis is refuted, and the interval of at least one lies on both sides of what was expected."""

    exit_status = 3


class NotFiniteError(CircuitGraphError):
    """NaN or infinity in a result; the message names the experiment."""

    exit_status = 4


class AuditError(CircuitGraphError):
    """A proof about the model or an executor failed."""

    exit_status = 4


class ResourceError(CircuitGraphError):
    """Something outside the spec went wrong."""

    exit_status = 5


class FileError(ResourceError):
    """A file or directory that cannot be used."""


class LockError(ResourceError):
    """Another process writes to the run directory."""


class ModelError(ResourceError):
    """A model that cannot be loaded."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file: what, and where (1-based; 0 = the file as a whole)."""

    message: str
    line: int = 0
    column: int = 0
    source: str = ""
    file: str = ""
    """Set when the problem lies in another file than the spec (a prompts file)."""

    def format(self, path: str) -> str:
        """`file:line:col: message`, then the source line with a caret below the column."""
        place = ":".join([self.file or path, *(str(n) for n in (self.line, self.column) if n)])
        if not self.source:
            return f"{place}: {self.message}"
        gutter = f"{self.line:>5} | "
        shown, indent = _window(self.source, max(self.column - 1, 0))
        caret = " " * (len(gutter) - 2) + "| " + " " * indent + "^"
        return f"{place}: {self.message}\n{gutter}{shown}\n{caret}"


def _window(line: str, index: int, width: int = 120) -> tuple[str, int]:
    """At most about `width` characters of `line` around `index`, free of control characters, and where `index` is."""
    line = "".join(char if char.isprintable() else " " for char in line)
    if len(line) <= width:
        return line, index
    start = max(0, min(index - width // 2, len(line) - width))
    head, tail = "…" * (start > 0), "…" * (start + width < len(line))
    return head + line[start : start + width] + tail, index - start + len(head)


class SpecError(InputError):
    """All problems of one file at once."""

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(problem.format(path) for problem in self.problems))


def did_you_mean(value: str, choices: Iterable[str], *, limit: int = 12) -> str:
    """`; did you mean 'x'? have: …` for an unknown name; empty when there is no choice at all."""
    names = list(dict.fromkeys(choices))
    if not names:
        return ""
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(value.lower(), list(lowered), n=1, cutoff=0.5)
    hint = f"; did you mean '{lowered[near[0]]}'?" if near else ";"
    shown = ", ".join(names[:limit]) + (f", … ({len(names)} in all)" if len(names) > limit else "")
    return f"{hint} have: {shown}"
