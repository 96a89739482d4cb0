"""One run from spec to result: check, load the model, measure part by part, summarise, draw."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from circuitgraph.checks import Checked, SpecLike, check
from circuitgraph.drawing import scene, svg
from circuitgraph.errors import InputError
from circuitgraph.execute.bind import BoundMetric, bind_metrics
from circuitgraph.execute.literal import NAME, refuse_all
from circuitgraph.execute.run import PART, execute, steps
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import fetch, load_model
from circuitgraph.plans import Plan, build_plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results import (
    Measured,
    RunDirectory,
    RunResult,
    check_finite,
    provenance,
    stretched_warning,
    summarise,
)
from circuitgraph.results.records import Row
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec.dump import dump_spec
from circuitgraph.stats import sample_warning

Progress = Callable[[int, int], None]
"""(steps done, steps in all), called while a run goes on."""


class Running:
    """A run in progress. Everything that can be wrong with the spec is known once this exists."""

    def __init__(self, spec: SpecLike, overrides: Sequence[str], progress: Progress | None) -> None:
        found = check(spec, overrides)
        self.plan: Plan = build_plan(found.graph)
        refuse_all(self.plan.experiments)
        if fetch(found.location) != found.location.path or found.prompts is None:
            # Now that the model's files are here, the rest can be checked, its tokenizer above all.
            found = check(spec, overrides)
        if found.prompts is None:
            raise InputError("; ".join(found.unchecked) or "the prompts could not be read")
        self.checked: Checked = found
        self.prompts: PromptSet = found.prompts
        self.metrics: tuple[BoundMetric, ...] = bind_metrics(found.spec.metrics)
        self.spec_text = _spec_text(spec, overrides, found.spec)
        self.model: TransformerModel = load_model(
            found.location, dtype=found.spec.model.dtype, device=found.spec.model.device
        )
        self._progress = progress
        self._done, self._total = 0, steps(self.plan, self.prompts)

    def result(self, out: str | Path | None, *, resume: bool, replace: bool) -> RunResult:
        """Measure and summarise; with `out`, through a run directory."""
        origin = self._provenance()
        if out is None:
            measured = [item for part in self._parts(frozenset()) for item in part]
            rows, warnings = self._rows(measured)
            return self._result(measured, rows, warnings, origin, None)
        with RunDirectory.create(out, origin, self.spec_text, resume=resume, replace=replace) as directory:
            for part in self._parts(directory.finished_parts()):
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

    def _parts(self, skip: frozenset[str]) -> Iterator[tuple[Measured, ...]]:
        self._step(len(skip) * self._total // max(len(self.plan.experiments), 1))
        parts = execute(self.model, self.plan, self.prompts, self.metrics, skip=skip, progress=self._step)
        for part in parts:
            check_finite(self.plan, part)
            yield part

    def _step(self, done: int) -> None:
        self._done += done
        if self._progress is not None:
            self._progress(self._done, self._total)

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

    def _provenance(self) -> dict[str, Any]:
        spec = self.checked.spec
        return provenance(
            spec_text=self.spec_text,
            plan=self.plan,
            shape=self.model.shape,
            model_fingerprint=self.model.fingerprint,
            prompts_sha256=self.prompts.digest(),
            settings={
                "spec": spec.model_dump(mode="json", exclude_defaults=True),
                "model": {"kind": self.checked.location.kind, "name": self.checked.location.name},
                "pairs": len(self.prompts),
                "positions": list(self.prompts.position_names()),
                "executor": NAME,
            },
            seed=spec.intervention.seed,
            device=str(self.model.device),
            dtype=str(self.model.dtype).removeprefix("torch."),
            executor=NAME,
            schedule=f"parts of {PART} experiments, one at a time, batches of pairs of one length",
            threads=torch.get_num_threads(),
        )

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


def _spec_text(spec: SpecLike, overrides: Sequence[str], read: CircuitSpec) -> str:
    """The spec as it is run: the file's own text, comments included, unless it was overridden."""
    if isinstance(spec, CircuitSpec) or overrides:
        return dump_spec(read)
    return Path(os.fspath(spec)).read_text(encoding="utf-8-sig")
