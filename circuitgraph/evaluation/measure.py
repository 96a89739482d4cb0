"""One evaluation from spec to record: check, load the model, run what the agenda holds, make shares of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuitgraph.checks import SpecLike, check
from circuitgraph.evaluation.agenda import Agenda, agenda_of
from circuitgraph.evaluation.aim import Part, aim_of, part_name
from circuitgraph.evaluation.expected import judged
from circuitgraph.evaluation.scores import Found, scores
from circuitgraph.plans import cost_of
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prepared import Prepared, Progress
from circuitgraph.results.evaluated import CurveKind, Evaluation
from circuitgraph.results.records import Measured


class Evaluating(Prepared):
    """An evaluation in progress."""

    def __init__(
        self,
        spec: SpecLike,
        overrides: Sequence[str] = (),
        progress: Progress | None = None,
        *,
        circuits: int | None = None,
        curve: CurveKind = CurveKind.HYPOTHESIS,
        minimality: bool = True,
        spec_text: str | None = None,
    ) -> None:
        """Check, then load.

        Args:
            circuits: how many random ones; None = what the spec says.
            spec_text: the text that the spec was read from, where it is in memory.

        Raises:
            as Prepared; SpecError, InputError: what is wrong with the circuit as a whole.
        """
        aim_of(check(spec, overrides))  # before the model is loaded
        super().__init__(spec, overrides, progress)
        if spec_text is not None:
            self.spec_text = spec_text
        random = self.checked.spec.circuit.random
        wanted = random.circuits if circuits is None else circuits
        self.agenda: Agenda = agenda_of(aim_of(self.checked), wanted, random.seed, curve, minimality=minimality)
        self._found: dict[tuple[str, str], Measured] = {}

    def result(self) -> Evaluation:
        """Measure and summarise.

        Raises:
            NotFiniteError: NaN or infinity in a value; the message names the run.
        """
        agenda, aim = self.agenda, self.agenda.aim
        curved = agenda.curve is not CurveKind.NONE
        ranking: tuple[Part, ...] = tuple(part for part, _ in agenda.singles) or tuple(aim.circuit)
        self.expect_steps(agenda.first, *([agenda.curve_plan(ranking)] if curved else []))
        plans = [self._measure(agenda.first)]
        if curved:
            ranking = self._ranking()
            plans.append(self._measure(agenda.curve_plan(ranking)))
        clusters, seed = self.prompts.clusters, self.checked.spec.intervention.seed
        columns = [metric.column for metric in self.metrics]
        found = [self._of_metric(column) for column in columns]
        metrics = tuple(
            scores(agenda, ranking, name, values, clusters, seed) for name, values in zip(columns, found, strict=True)
        )
        whole = Plan(aim.name, tuple(experiment for plan in plans for experiment in plan.experiments))
        cost = cost_of(whole)
        warnings = (*self.checked.warnings, *self.sample_warnings(whole))
        return Evaluation(
            name=aim.name,
            of=aim.of.value,
            base=aim.base.value,
            source=str(aim.source),
            pairs=len(self.prompts),
            parts=tuple(part_name(part, at) for part, at in aim.circuit.items()),
            model_parts=len(aim.every),
            kept=tuple(part_name(node, at) for node, at in aim.keep.items()),
            empty_is_other=aim.empty_is_other,
            metrics=metrics,
            expected=judged(self.checked.spec.circuit.expect, metrics[0], len(self.prompts)),
            runs=cost.isolations + cost.propagations,
            provenance=self._provenance(whole),
            warnings=warnings,
        )

    def _measure(self, plan: Plan) -> Plan:
        for part in self.measure(plan):
            self._found.update({(item.id, item.metric): item for item in part})
        return plan

    def _ranking(self) -> tuple[Part, ...]:
        """The parts by the size of what each does to the primary metric: dropped from the circuit, or by itself."""
        if self.agenda.singles:
            sizes = {part: self._effect(experiment) for part, experiment in self.agenda.singles}
        else:
            by_name = {drop.name: experiment for drop, experiment in self.agenda.drops if drop.kind == self._own_kind()}
            whole = self._effect(self.agenda.circuit)
            circuit = self.agenda.aim.circuit
            sizes = {part: self._effect(by_name[part_name(part, at)]) - whole for part, at in circuit.items()}
        return tuple(sorted(sizes, key=lambda part: -abs(sizes[part])))

    def _own_kind(self) -> str:
        return self.agenda.aim.of.value.removesuffix("s")

    def _effect(self, experiment: Experiment) -> float:
        return float(self._found[experiment.id, self.metrics[0].column].effect.mean())

    def _of_metric(self, column: str) -> Found:
        """Per-pair values of one metric."""
        whole = self._found[self.agenda.circuit.id, column]
        values = {at: item.metric_patched for (at, metric), item in self._found.items() if metric == column}
        empty = whole.metric_other if self.agenda.empty is None else values[self.agenda.empty.id]
        if empty is None:
            raise ValueError("the other run is the empty circuit, and there is none")
        return Found(whole.metric_base, empty, values)

    def _provenance(self, plan: Plan) -> dict[str, Any]:
        agenda = self.agenda
        settings = {"curve": agenda.curve.value, "circuits": len(agenda.random), "random_seed": agenda.seed}
        return self.origin(plan, evaluation=settings)
