"""A spec as a test: what it expects of its experiments, and what their intervals say. Reads results alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from circuitgraph.checks import Checked
from circuitgraph.errors import InputError, RefutedError, UndecidedError
from circuitgraph.graph.claims import CircuitGraph, Origin
from circuitgraph.results.evaluated import Evaluation, Share
from circuitgraph.results.records import RunResult
from circuitgraph.showing import Shown
from circuitgraph.spec.model import CircuitSpec
from circuitgraph.spec.source import Place
from circuitgraph.stats import Verdict
from circuitgraph.tables import aligned, name_of, shared_labels

ORDER = (Verdict.REFUTED, Verdict.UNDECIDED, Verdict.SUPPORTED)


@dataclass(frozen=True, slots=True)
class Judged:
    """One expectation and its verdict. `low` and `high`: the 95 % interval of `value`; None = there is none."""

    what: str
    quantity: str
    """`effect`, `faithfulness` or `completeness`."""
    value: float | None
    low: float | None
    high: float | None
    expected: str
    verdict: Verdict
    pairs: int
    pairs_needed: int | None = None
    origin: Origin = field(default=Origin())

    @property
    def place(self) -> str:
        """The line of the spec, or the entry of a spec that is no file."""
        return f"line {self.origin.line}" if self.origin.line else self.origin.entry

    @property
    def found(self) -> str:
        """`effect -9.2534 [-10.091, -8.4156]`."""
        if self.value is None:
            return f"{self.quantity} has no value"
        interval = "" if self.low is None or self.high is None else f" [{self.low:+.5g}, {self.high:+.5g}]"
        return f"{self.quantity} {self.value:+.5g}{interval}"

    def __str__(self) -> str:
        text = f"{self.what}: {self.found}, expected {self.expected}"
        if self.verdict is not Verdict.UNDECIDED:
            return text
        if self.low is None:
            return f"{text}; there is no interval to judge by"
        needed = "no number of" if self.pairs_needed is None else f"about {self.pairs_needed:,}"
        return f"{text}; {needed} pairs would decide it, {self.pairs} were measured"


@dataclass(frozen=True)
class Verdicts(Shown):
    """Everything that a spec expects, refuted first, then undecided, then supported; in spec order within each."""

    name: str
    judged: tuple[Judged, ...]
    result: RunResult | None = None
    """The run that the effects are from."""
    path: str | None = None
    """The spec file, if there is one."""
    evaluation: Evaluation | None = None
    """The evaluation that faithfulness and completeness are from: the circuit and its complement alone."""

    @property
    def verdict(self) -> Verdict:
        """The worst: refuted if any is, else undecided if any is."""
        found = {item.verdict for item in self.judged}
        return next(verdict for verdict in ORDER if verdict in found)

    def check(self) -> None:
        """Do nothing if everything is supported.

        Raises:
            RefutedError: something is refuted; the message names each with its line.
            UndecidedError: nothing is refuted, and something is undecided.
        """
        if self.verdict is Verdict.SUPPORTED:
            return
        worst = [item for item in self.judged if item.verdict is self.verdict]
        lines = [f"{self._place(item)}: {item.verdict}: {item}" for item in worst]
        raise (RefutedError if self.verdict is Verdict.REFUTED else UndecidedError)("\n".join(lines))

    def _place(self, item: Judged) -> str:
        """`specs/ioi-mini.yaml:29`, as editors read it."""
        line = item.origin.line
        return f"{self.path}:{line}" if self.path and line else f"{self.path or self.name}: {item.place}"

    def text(self) -> str:
        """A table with one line each, and a summary."""
        cells = [
            (item.verdict.value, item.place, item.what, item.found, f"expected {item.expected}") for item in self.judged
        ]
        counts = Counter(item.verdict for item in self.judged)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in reversed(ORDER) if counts[verdict])
        return "\n".join([*aligned(cells, right=()), "", f"{self.name}: {summary}"])


def judge_run(result: RunResult) -> tuple[Judged, ...]:
    """The expectations of a run's entries, in spec order."""
    shared = shared_labels(result.primary)
    return tuple(
        Judged(
            what=name_of(row, result.graph, shared),
            quantity="effect",
            value=row.effect,
            low=row.ci_low,
            high=row.ci_high,
            expected=row.expected,
            verdict=Verdict(row.verdict),
            pairs=row.n,
            pairs_needed=row.pairs_needed,
            origin=result.graph.by_id[row.id].origin,
        )
        for row in result.primary
        if row.expected is not None and row.verdict is not None
    )


def judge_circuit(evaluation: Evaluation, checked: Checked) -> tuple[Judged, ...]:
    """The expectations of a circuit as a whole."""
    found = []
    for item in evaluation.expected:
        share: Share = getattr(evaluation.metrics[0], item.what)
        loc = ("circuit", "expect", item.what)
        written = checked.source is not None and loc in checked.source.values
        place = checked.source.origin(loc) if checked.source is not None and written else Place()
        found.append(
            Judged(
                what="the circuit as a whole",
                quantity=item.what,
                value=share.value,
                low=share.low,
                high=share.high,
                expected=item.region,
                verdict=item.verdict,
                pairs=evaluation.pairs,
                pairs_needed=item.pairs_needed,
                origin=Origin(place.line, place.column, ".".join(loc)),
            )
        )
    return tuple(found)


def ordered(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Refuted first, then undecided, then supported."""
    return tuple(sorted(judged, key=lambda item: ORDER.index(item.verdict)))


def refuse_nothing_expected(spec: CircuitSpec, graph: CircuitGraph) -> None:
    """Refuse a spec that expects nothing.

    Raises:
        InputError: neither an entry nor the circuit has `expect`.
    """
    if spec.circuit.expect is None and all(claim.expect is None for claim in graph.claims):
        raise InputError(
            "nothing to test: write what you expect, for example expect: negative, or expect: {at_least: 2}, "
            "on an entry of edges or nodes, or circuit: {expect: {faithfulness: {at_least: 0.9}}}"
        )
