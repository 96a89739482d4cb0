"""Per-pair values of all runs under one metric -> shares with intervals, areas, random circuits. Numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitgraph.evaluation.agenda import Agenda
from circuitgraph.evaluation.aim import Part, part_name
from circuitgraph.evaluation.curve import areas
from circuitgraph.evaluation.random_circuits import without_alternative
from circuitgraph.plans.types import Experiment
from circuitgraph.results.evaluated import (
    Curve,
    CurveKind,
    CurvePoint,
    Dropped,
    MetricScores,
    RandomCircuits,
    Scored,
    Share,
)
from circuitgraph.stats import intervals, normalized

Floats = NDArray[np.float64]

ROUNDED = 6
"""Decimals, as shares of the gap, to which circuits are told apart: float32 has no more."""


@dataclass(frozen=True)
class Found:
    """The metric per pair [pairs]: in the base run, with nothing current, and in each run (by experiment id)."""

    base: Floats
    empty: Floats
    runs: Mapping[str, Floats]


def scores(
    agenda: Agenda, ranking: Sequence[Part], metric: str, found: Found, clusters: Sequence[str] | None, seed: int
) -> MetricScores:
    """Everything under one metric.

    Args:
        ranking: the parts of the curve, first kept first.
        seed: of the bootstrap.
    """
    return _Scores(agenda, ranking, metric, found, clusters, seed).result()


@dataclass(frozen=True)
class _Scores:
    agenda: Agenda
    ranking: Sequence[Part]
    metric: str
    found: Found
    clusters: Sequence[str] | None
    seed: int

    def result(self) -> MetricScores:
        found, agenda = self.found, self.agenda
        circuit = found.runs[agenda.circuit.id]
        whole = [found.base, found.empty, circuit, found.runs[agenda.rest.id]]
        base, empty, alone, rest = self._scored(whole)
        dropped = [found.runs[experiment.id] for _, experiment in agenda.drops]
        changes = self._shares([values - circuit for values in dropped])
        drops = [
            Dropped(drop.kind, drop.name, drop.count, left.faithfulness, change)
            for (drop, _), left, change in zip(agenda.drops, self._scored(dropped), changes, strict=True)
        ]
        # What is equal but for rounding stays in the order of the spec, on every machine.
        gap = abs(found.base.mean() - found.empty.mean()) or 1.0
        moved = [round(abs(values.mean() - circuit.mean()) / gap, ROUNDED) for values in dropped]
        size = {id(drop): change for drop, change in zip(drops, moved, strict=True)}
        return MetricScores(
            metric=self.metric,
            base=base,
            empty=empty,
            circuit=alone,
            rest=rest,
            dropped=tuple(sorted(drops, key=lambda drop: -size[id(drop)])),
            random=self._random(alone.faithfulness.value),
            curve=None if agenda.curve is CurveKind.NONE else self._curve(),
            no_share=self._no_share(),
        )

    def _scored(self, values: Sequence[Floats]) -> list[Scored]:
        """The mean of each run, and its F."""
        shares = self._shares([value - self.found.empty for value in values])
        return [Scored(float(v.mean()), share) for v, share in zip(values, shares, strict=True)]

    def _shares(self, differences: Sequence[Floats]) -> list[Share]:
        """Mean difference / mean(base − empty) of each; all None where that gap cannot be told from 0."""
        if not differences:
            return []
        gap = self.found.base - self.found.empty
        made = normalized(np.stack(differences), gap, self.clusters, seed=self.seed)
        return [Share(*map(_number, three)) for three in zip(made.value, made.low, made.high, strict=True)]

    def _no_share(self) -> str | None:
        gap = intervals((self.found.base - self.found.empty)[None], self.clusters, seed=self.seed)
        mean, low, high = float(gap.mean[0]), float(gap.low[0]), float(gap.high[0])
        if mean != 0 and not low <= 0 <= high:
            return None
        span = "" if np.isnan(low) else f", interval {low:.4g} to {high:.4g}"
        return f"the whole model and the empty circuit cannot be told apart: they differ by {mean:.4g}{span}"

    def _random(self, hypothesis: float | None) -> RandomCircuits:
        runs = self._scored([self.found.runs[experiment.id] for experiment in self.agenda.random])
        values = tuple(run.faithfulness.value for run in runs)
        known = [value for value in values if value is not None]
        fixed = without_alternative(self.agenda.aim)
        if not known or hypothesis is None:
            return RandomCircuits(self.agenda.seed, values, None, None, None, None, fixed)
        below = sum(round(value, ROUNDED) < round(hypothesis, ROUNDED) for value in known) / len(known)
        return RandomCircuits(self.agenda.seed, values, float(np.median(known)), min(known), max(known), below, fixed)

    def _curve(self) -> Curve:
        agenda, total = self.agenda, len(self.agenda.aim.every)
        steps = agenda.steps(self.ranking)
        runs = self._scored([self._run(kept, experiment) for kept, experiment in steps])
        points = tuple(
            CurvePoint(kept, kept / total, run.metric, run.faithfulness)
            for (kept, _), run in zip(steps, runs, strict=True)
        )
        shares = [point.faithfulness.value for point in points]
        known = [share for share in shares if share is not None]
        cpr, cmd = areas([p.share for p in points], known) if len(known) == len(shares) else (None, None)
        positions = agenda.aim.circuit if agenda.curve is CurveKind.HYPOTHESIS else {}
        names = tuple(part_name(part, positions.get(part, ())) for part in self.ranking)
        return Curve(agenda.curve, names, points, cpr, cmd)

    def _run(self, kept: int, experiment: Experiment | None) -> Floats:
        if experiment is None:
            return self.found.base if kept else self.found.empty
        return self.found.runs[experiment.id]


def _number(value: float) -> float | None:
    """A share that is less than rounding is 0: nothing may be found in its sign."""
    if np.isnan(value):
        return None
    return 0.0 if round(float(value), ROUNDED) == 0 else float(value)
