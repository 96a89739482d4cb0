"""One run from spec to result: check, load the model, measure part by part, summarise, draw."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

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
    provenance,
    stretched_warning,
    summarise,
)
from circuitgraph.results.records import Row
from circuitgraph.spec import CircuitSpec
from circuitgraph.spec.dump import dump_spec
from circuitgraph.stats import sample_warning


class Running(Prepared):
    """A run in progress."""

    def __init__(self, spec: SpecLike, overrides: Sequence[str], progress: Progress | None) -> None:
        super().__init__(spec, overrides, progress)
        if not self.plan.experiments:
            raise InputError("nothing to run: the spec has neither edges nor nodes")
        self.spec_text = _spec_text(spec, overrides, self.checked.spec)
        self.expect_steps(self.plan)

    def result(self, out: str | Path | None, *, resume: bool, replace: bool) -> RunResult:
        """Measure and summarise; with `out`, through a run directory."""
        origin = self._provenance()
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

    def _provenance(self) -> dict[str, Any]:
        spec = self.checked.spec
        return provenance(
            spec_text=self.spec_text,
            plan=self.plan,
            shape=self.model.shape,
            model_fingerprint=self.model.fingerprint,
            prompts_sha256=self.prompts.digest(),
            settings={
                "spec": spec.model_dump(mode="json", exclude_defaults=True, by_alias=True),
                "model": {"kind": self.checked.location.kind, "name": self.checked.location.name},
                "pairs": len(self.prompts),
                "positions": list(self.prompts.position_names()),
                "each": None if self.checked.each is None else [str(position) for position in self.checked.each],
                "reference": self._reference_settings(),
                "executor": NAME,
            },
            seed=spec.intervention.seed,
            device=str(self.model.device),
            dtype=str(self.model.dtype).removeprefix("torch."),
            executor=NAME,
            schedule=f"parts of {PART} experiments, one at a time, batches of pairs of one length",
            threads=torch.get_num_threads(),
        )

    def _reference_settings(self) -> dict[str, Any] | None:
        """What the reference set is and how large, where there is one."""
        settings = self.checked.spec.intervention.reference
        if settings is None or self.reference is None:
            return None
        found = {"side": settings.side.value, "align": settings.align.value, "prompts": self.reference.note}
        return {**found, "size": len(self.reference), "sha256": self.reference.digest()}

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
