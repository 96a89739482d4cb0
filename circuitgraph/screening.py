"""Estimate everything, measure the largest: a run whose experiments an estimate chose, on other prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from circuitgraph.checks import SpecLike
from circuitgraph.discovery.held_out import hold_apart
from circuitgraph.plans.schedule import Executor
from circuitgraph.prepared import Prepared, Progress
from circuitgraph.results import RunResult
from circuitgraph.results.screening import Screening, compare
from circuitgraph.running import Running


def screened_run(
    spec: SpecLike,
    overrides: Sequence[str],
    top: int,
    *,
    out: str | Path | None,
    executor: Executor,
    memory: int | None,
    replace: bool,
    progress: Progress | None,
) -> RunResult:
    """Estimate every experiment by the spec's `estimate:`, and measure the `top` largest on prompts held apart.

    Raises:
        SpecError, InputError: what is wrong with the spec; too few prompts to hold some apart.
        RefusedError: an experiment cannot be estimated.
        ModelError, AuditError, NotFiniteError, FileError, LockError: as any run.
    """
    first = Prepared(spec, overrides, progress, executor, memory, estimating=True)
    apart, metric = hold_apart(first.checked), first.metrics[0].column
    first.expect_steps(first.plan, prompts=apart.discovery)
    measured = [item for part in first.measure(first.plan, apart.discovery) for item in part if item.metric == metric]
    means = {item.id: float(item.effect.mean()) for item in measured}
    estimates = [(e.id, e.label, means[e.id]) for e in first.plan.experiments]
    chosen = [id_ for id_, _, _ in sorted(estimates, key=lambda each: -abs(each[2]))[:top]]
    how = first.checked.spec.estimate
    method = "" if how is None else how.method.value
    update = {"prompts": apart.held_out, "estimate": None}
    other = first.checked.spec.model_copy(update=update).in_directory(first.checked.spec.directory)

    def compared(effects: dict[str, float]) -> Screening:
        return compare(method, metric, (apart.used, apart.kept), estimates, effects)

    run = Running(other, (), progress, executor, memory, only=frozenset(chosen), model=first.model, screened=compared)
    return run.result(out, resume=False, replace=replace)
