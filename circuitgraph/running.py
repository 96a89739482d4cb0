"""One run from spec to result: check, load the model, measure part by part, summarise, draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from circuitgraph.checks import SpecLike
from circuitgraph.checks.baseline import random_edges
from circuitgraph.drawing import scene, svg
from circuitgraph.errors import InputError
from circuitgraph.execute.audit import Audit
from circuitgraph.execute.settings import Settings
from circuitgraph.graph.claims import CircuitGraph, EdgeClaim, claim_arrow, claim_id
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.threads import using_threads
from circuitgraph.plans import Plan, build_plan
from circuitgraph.plans.schedule import Executor
from circuitgraph.plotting import available, drawn, pictures_of, worth_drawing
from circuitgraph.prepared import Prepared, Progress
from circuitgraph.reading import attention_of, attribution_of
from circuitgraph.results import (
    Measured,
    RunDirectory,
    RunResult,
    stretched_warning,
    summarise,
    with_percentiles,
    with_verdicts,
)
from circuitgraph.results.attention import AttentionTable
from circuitgraph.results.attribution import AttributionTable
from circuitgraph.results.records import Row, gaps_of
from circuitgraph.results.screening import Screening
from circuitgraph.spec.model import BaseRun

Readouts = tuple[AttentionTable | None, AttributionTable | None]


def plots_of(result: RunResult) -> dict[str, bytes]:
    """What is drawn of a run beside its circuit: file name → SVG; nothing where nothing was swept or taken apart."""
    if not available() or not worth_drawing(result):
        return {}
    try:
        return {f"{picture.name}.svg": drawn(picture) for picture in pictures_of(result)}
    except InputError:  # a matplotlib that is there and cannot be imported is no reason to lose a run
        return {}


class Running(Prepared):
    """A run in progress."""

    def __init__(
        self,
        spec: SpecLike,
        overrides: Sequence[str],
        progress: Progress | None,
        executor: Executor = Executor.AUTO,
        memory: int | None = None,
        *,
        only: frozenset[str] | None = None,
        model: TransformerModel | None = None,
        screened: Callable[[dict[str, float]], Screening] | None = None,
    ) -> None:
        """
        Args:
            only: the experiments that are measured (ids); None = all.
            model: the spec's, where it is loaded already.
            screened: makes of their effects what is told of a screening that chose them.
        """
        super().__init__(spec, overrides, progress, executor, memory, estimating=True, model=model)
        self._screened = screened
        if only is not None:
            self.checked = replace(self.checked, graph=self.graph.only(only))
            self.plan = build_plan(self.graph)
        if not self.plan.experiments:
            raise InputError("nothing to run: the spec has neither edges nor nodes")
        self._directory: RunDirectory | None = None
        self._random = self._random_edges()
        self._baseline = build_plan(
            CircuitGraph("baseline", self.graph.shape, (), tuple(dict.fromkeys(chain(*self._random.values()))))
        )
        self.expect_steps(self.plan, self._baseline)

    def result(self, out: str | Path | None, *, resume: bool, replace: bool) -> RunResult:
        """Measure and summarise; with `out`, through a run directory."""
        chosen = {} if self._screened is None else {"screened": [e.id for e in self.plan.experiments]}
        origin = self.origin(self.plan, **chosen)
        if out is None:
            measured = [item for part in self._measure(frozenset()) for item in part]
            return self._result(measured, *self._rows(measured), self._readouts(), origin, None)
        with RunDirectory.create(out, origin, self.spec_text, resume=resume, replace=replace) as directory:
            self._go_on(directory)
            origin = {key: directory.record[key] for key in origin}
            for part in self._measure(directory.finished_parts()):
                directory.write_part(part)
                if self.audit is not None:
                    directory.note(audit=asdict(self.audit.findings))
            measured = list(directory.measured())
            rows, baseline, warnings = self._rows(measured)
            primary = [row for row in rows if row.metric == self.metrics[0].column]
            attention, attribution = readouts = self._readouts()
            result = self._result(measured, rows, baseline, warnings, readouts, origin, str(directory.path))
            directory.finish(
                rows,
                prompts=result.prompts,
                baseline=baseline,
                attention=attention,
                attribution=attribution,
                screening=self._screening(primary),
                clusters=self.prompts.clusters,
                warnings=warnings,
                draw=lambda: svg(scene(self.checked.graph, primary, positions=self.prompts.position_names())),
                plots=plots_of(result),
            )
        return result

    def _screening(self, rows: Sequence[Row]) -> Screening | None:
        return None if self._screened is None else self._screened({row.id: row.effect for row in rows})

    def _readouts(self) -> Readouts:
        """What the sections ask for that patch nothing."""
        checked, model, prompts = self.checked, self.model, self.prompts
        with using_threads(self.settings.threads):
            return (
                None if checked.attention is None else attention_of(checked, model, prompts),
                None if checked.attribution is None else attribution_of(checked, model, prompts),
            )

    def _go_on(self, directory: RunDirectory) -> None:
        """Compute as the run did so far, so that its numbers are rounded alike, and write down what changes."""
        record = directory.record
        self._directory = directory
        self._continue_with(Settings(**record.get("halved", record["schedule"])), self.plan, self._baseline)
        self.halvings = int("halved" in record)
        if self.audit is not None:
            self.audit = Audit(self.model, self.checked.spec.intervention.seed, record.get("audit"))

    def _halve(self, settings: Settings) -> None:
        super()._halve(settings)
        if self._directory is not None:
            self._directory.note(halved=settings.to_json())

    def _measure(self, skip: frozenset[str]) -> Iterator[tuple[Measured, ...]]:
        """The spec's own experiments, then the random edges."""
        yield from self.measure(self.plan, skip=skip)
        if self._baseline.experiments:
            yield from self.measure(self._baseline, skip=skip)

    def _random_edges(self) -> Mapping[str, tuple[EdgeClaim, ...]]:
        wanted = self.checked.spec.baseline
        return {} if wanted is None else random_edges(self.checked, wanted.edges, wanted.seed)

    def _without_rivals(self) -> str | None:
        """A warning if all edges of some kind are hypothesised: there are none to compare with."""
        alone = [id_ for id_, edges in self._random.items() if not edges]
        if not alone:
            return None
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        return f"baseline: no random edge of the kind of {claim_arrow(self.graph.by_id[alone[0]])}{more} is left"

    def _rows(self, measured: Sequence[Measured]) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[str, ...]]:
        """The table, the table of random edges, and the warnings."""
        columns = [metric.column for metric in self.metrics]
        rows = self._summarised(self.plan, self.graph, measured, columns)
        random_graph = CircuitGraph("baseline", self.graph.shape, (), tuple(chain(*self._random.values())))
        baseline = self._summarised(self._baseline, random_graph, measured, columns[:1])
        effects = {row.id: row.effect for row in baseline}
        among = {id_: [effects[claim_id(edge)] for edge in edges] for id_, edges in self._random.items()}
        first = [row for row in rows if row.metric == columns[0]]
        # What a spec expects is said of effects, not of estimates of them.
        verdicts = first if self.estimate is not None else with_verdicts(first, self.graph)
        judged = with_percentiles(verdicts, among)
        found = (
            *self.sample_warnings(self.plan),
            stretched_warning(rows, measured),
            self._without_rivals(),
            self._halved_warning(),
            self._short_warning(),
        )
        warnings = (*self.checked.warnings, *(warning for warning in found if warning is not None))
        return (*judged, *rows[len(first) :]), baseline, warnings

    def _summarised(
        self, plan: Plan, graph: CircuitGraph, measured: Sequence[Measured], columns: Sequence[str]
    ) -> tuple[Row, ...]:
        return summarise(
            plan,
            measured,
            graph,
            metrics=columns,
            clusters=self.prompts.clusters,
            seed=self.checked.spec.intervention.seed,
            one_signed={(m.column, base) for m in self.metrics for base in BaseRun if m.one_signed(base)},
        )

    def _result(
        self,
        measured: Sequence[Measured],
        rows: tuple[Row, ...],
        baseline: tuple[Row, ...],
        warnings: tuple[str, ...],
        readouts: Readouts,
        origin: dict[str, Any],
        directory: str | None,
    ) -> RunResult:
        return RunResult(
            graph=self.checked.graph,
            plan=self.plan,
            rows=rows,
            effects={(item.id, item.metric): item.effect for item in measured if item.id in self.graph.by_id},
            gaps=gaps_of(self.plan, measured),
            provenance=origin | ({"halved": self.settings.to_json()} if self.halvings else {}),
            metrics=tuple(metric.column for metric in self.metrics),
            warnings=warnings,
            directory=directory,
            baseline=baseline,
            attention=readouts[0],
            attribution=readouts[1],
            screening=self._screening([row for row in rows if row.metric == self.metrics[0].column]),
            prompts=self.kept_prompts(),
            spec_text=self.spec_text,
            audit=None if self.audit is None else self.audit.findings,
        )
