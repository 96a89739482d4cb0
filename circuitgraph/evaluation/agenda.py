"""Aim -> everything that will be run, so that its cost is known before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from circuitgraph.evaluation.aim import Aim, Part, Parts
from circuitgraph.evaluation.curve import mib_counts
from circuitgraph.evaluation.drops import Drop, drops_of
from circuitgraph.evaluation.random_circuits import all_fixed, random_circuits
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.results.evaluated import CurveKind


@dataclass(frozen=True)
class Agenda:
    """The runs of an evaluation. `empty` is None if the empty circuit is the other run.

    The runs of the curve depend on what the others find; their number does not.
    """

    aim: Aim
    curve: CurveKind
    seed: int
    circuit: Experiment
    rest: Experiment
    empty: Experiment | None
    drops: tuple[tuple[Drop, Experiment], ...]
    random: tuple[Experiment, ...]
    singles: tuple[tuple[Part, Experiment], ...]

    @property
    def first(self) -> Plan:
        """All runs but those of the curve."""
        whole = [self.circuit, self.rest, *([self.empty] if self.empty else [])]
        dropped, single = ([experiment for _, experiment in some] for some in (self.drops, self.singles))
        return distinct(self.aim.name, [*whole, *dropped, *self.random, *single])

    def curve_plan(self, ranking: Sequence[Part]) -> Plan:
        """The runs of the curve that are not among the first."""
        known = {experiment.id for experiment in self.first.experiments}
        steps = [experiment for _, experiment in self.steps(ranking) if experiment is not None]
        return distinct(self.aim.name, [step for step in steps if step.id not in known])

    def steps(self, ranking: Sequence[Part]) -> list[tuple[int, Experiment | None]]:
        """How many parts are kept, and the run in which they are; None = it is one of the model's own runs."""
        total = len(self.aim.every)
        counts = mib_counts(total) if self.curve is CurveKind.ALL else (*range(len(ranking) + 1), total)
        # A circuit may hold every part of the model, some at positions alone: that is not the whole model.
        confined = len(ranking) == total and any(self._positions.get(part) for part in ranking)
        found: dict[int, Experiment | None] = {}
        for count in counts:
            whole = (count == total and not confined) or (count == 0 and self.aim.empty_is_other)
            found[count] = None if whole else self._kept(ranking[:count])
        return list(found.items())

    @property
    def _positions(self) -> Parts:
        """Where a part of the ranking is kept; everywhere, if it is not said."""
        return self.aim.circuit if self.curve is CurveKind.HYPOTHESIS else {}

    def _kept(self, parts: Sequence[Part]) -> Experiment:
        kept: Parts = {part: self._positions.get(part, ()) for part in parts}
        return self.aim.alone(kept, f"the first {len(parts)} of the ranking")

    @property
    def runs(self) -> tuple[tuple[str, int], ...]:
        """What is run, and how many forward passes over all pairs it takes; of the curve at most so many."""
        drops, randoms = ([*dict.fromkeys(e.id for e in some)] for some in ([e for _, e in self.drops], self.random))
        ranking = [part for part, _ in self.singles] or list(self.aim.circuit)
        curve = [] if self.curve is CurveKind.NONE else self.curve_plan(ranking).experiments
        whole = [self.circuit, self.rest, *([self.empty] if self.empty else [])]
        repeat = self.circuit.repeat
        single = sum((len(e.isolations) + 1) * e.repeat for _, e in self.singles)
        return (
            ("of the circuit, its complement and the empty circuit", repeat * len(whole)),
            ("of it without each of its parts", repeat * len(drops)),
            ("of random circuits", repeat * len(randoms)),
            ("to rank every part by itself", single),
            ("of the curve", repeat * len(curve)),
        )


def agenda_of(aim: Aim, circuits: int, seed: int, curve: CurveKind, *, minimality: bool = True) -> Agenda:
    """The runs for an aim, `circuits` random circuits and a kind of curve; with `minimality`, those that drop parts."""
    circuits = 0 if all_fixed(aim) else circuits
    randoms = random_circuits(aim, circuits, seed)
    drops = drops_of(aim) if minimality or curve is CurveKind.HYPOTHESIS else ()
    return Agenda(
        aim,
        curve,
        seed,
        circuit=aim.alone(aim.circuit, "the circuit alone"),
        rest=aim.knocked_out("the circuit knocked out"),
        empty=None if aim.empty_is_other else aim.alone({}, "the empty circuit"),
        drops=tuple((d, aim.alone(d.rest, f"the circuit without {d.kind} {d.name}")) for d in drops),
        random=tuple(aim.alone(parts, f"random circuit {i}") for i, parts in enumerate(randoms)),
        singles=tuple((part, aim.single(part)) for part in aim.every) if curve is CurveKind.ALL else (),
    )


def distinct(name: str, experiments: Iterable[Experiment]) -> Plan:
    """A plan in which each experiment is there once."""
    return Plan(name, tuple({experiment.id: experiment for experiment in reversed(list(experiments))}.values())[::-1])
