"""One run from spec to result: check, load the model, measure part by part, summarise, draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuitgraph.checks import SpecLike
from circuitgraph.drawing import scene, svg
from circuitgraph.errors import InputError
from circuitgraph.execute.literal import NAME
from circuitgraph.execute.run import PART
from circuitgraph.prepared import Prepared, Progress
from circuitgraph.results import (
    Measured,
    RunDirectory,
    RunResult,
    stretched_warning,
    summarise,
)
from circuitgraph.results.records import Row
from circuitgraph.stats import sample_warning


class Running(Prepared):
    """A run in progress."""

    def __init__(self, spec: SpecLike, overrides: Sequence[str], progress: Progress | None) -> None:
        super().__init__(spec, overrides, progress)
        if not self.plan.experiments:
            raise InputError("nothing to run: the spec has neither edges nor nodes")
        self.expect_steps(self.plan)

    def result(self, out: str | Path | None, *, resume: bool, replace: bool) -> RunResult:
        """Measure and summarise; with `out`, through a run directory."""
        origin = self.origin(self.plan, f"parts of {PART} experiments, one at a time, batches of pairs of one length")
        if out is None:
            measured = [item for part in self.measure(self.plan) for item in part]
            rows, warnings = self._rows(measured)
            return self._result(measured, rows, warnings, origin, None)
        with RunDirectory.create(out, origin, self.spec_text, resume=resume, replace=replace) as directory:
            for part in self.measure(self.plan, skip=directory.finished_parts()):
                directory.write_part(part)
            measured = list(directory.measured())
            rows, warnings = self._rows(measured)
            primary = [row for row in rows if row.metric == self.metrics[0].column]
            directory.finish(
                rows,
                clusters=self.prompts.clusters,
                warnings=warnings,
                draw=lambda: svg(scene(self.checked.graph, primary, positions=self.prompts.position_names())),
            )
        return self._result(measured, rows, warnings, origin, str(directory.path))

    def _rows(self, measured: Sequence[Measured]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        clusters = self.prompts.clusters
        rows = summarise(
            self.plan,
            measured,
            self.checked.graph,
            metrics=[metric.column for metric in self.metrics],
            clusters=clusters,
            seed=self.checked.spec.intervention.seed,
            executor=NAME,
        )
        found = (sample_warning(len(self.prompts), clusters), stretched_warning(rows, measured))
        return rows, (*self.checked.warnings, *(warning for warning in found if warning is not None))

    def _result(
        self,
        measured: Sequence[Measured],
        rows: tuple[Row, ...],
        warnings: tuple[str, ...],
        origin: dict[str, Any],
        directory: str | None,
    ) -> RunResult:
        return RunResult(
            graph=self.checked.graph,
            plan=self.plan,
            rows=rows,
            effects={(item.id, item.metric): item.effect for item in measured},
            provenance=origin,
            metrics=tuple(metric.column for metric in self.metrics),
            warnings=warnings,
            directory=directory,
        )
