"""Plan × prompts × model -> measured values, in parts that can be saved one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from circuitgraph.execute.bind import Batch, BoundMetric, bind_batches
from circuitgraph.execute.literal import LiteralExecutor, refuse_all
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured

PART = 64
"""Experiments per part: what an interrupted run loses at most."""
BATCH = 64
"""Pairs per forward pass."""

Progress = Callable[[int], None]
"""Called with the number of experiments that were finished since the last call, counted over batches."""


def execute(
    model: TransformerModel,
    plan: Plan,
    prompts: PromptSet,
    metrics: Sequence[BoundMetric],
    *,
    skip: frozenset[str] = frozenset(),
    progress: Progress = lambda _done: None,
) -> Iterator[tuple[Measured, ...]]:
    """Measure every experiment of the plan but those in `skip` (ids), part by part, in plan order.

    Everything that can be wrong with plan or prompts raises before the first forward pass.

    Raises:
        RefusedError: an experiment cannot be executed; the message names each.
        InputError: plan, prompts and model do not fit together.
    """
    refuse_all(plan.experiments)
    batches = bind_batches(plan, prompts, metrics, model.shape, model.device, BATCH)
    todo = [experiment for experiment in plan.experiments if experiment.id not in skip]
    for start in range(0, len(todo), PART):
        yield _part(model, todo[start : start + PART], batches, len(prompts), metrics, progress)


def steps(plan: Plan, prompts: PromptSet) -> int:
    """How many steps `progress` will count for a plan: experiments × batches."""
    batches = sum(-(-len(rows) // BATCH) for rows in prompts.by_length())
    return len(plan.experiments) * batches


def _part(
    model: TransformerModel,
    experiments: Sequence[Experiment],
    batches: Sequence[Batch],
    pairs: int,
    metrics: Sequence[BoundMetric],
    progress: Progress,
) -> tuple[Measured, ...]:
    """Batches outside, experiments inside: the caches of one batch at a time are in memory."""
    shape = (len(experiments), len(metrics), pairs)
    base, other, patched = np.empty(shape), np.full(shape, np.nan), np.empty(shape)
    paired = all(batch.corrupted is not None for batch in batches)
    for batch in batches:
        executor = LiteralExecutor(model, batch, metrics)
        rows = np.array(batch.rows)
        for e, experiment in enumerate(experiments):
            for m, (here, there) in enumerate(executor.unpatched(experiment.base)):
                base[e, m, rows] = here.cpu().numpy()
                if there is not None:
                    other[e, m, rows] = there.cpu().numpy()
            for m, value in enumerate(executor.patched(experiment)):
                patched[e, m, rows] = value.cpu().numpy()
            progress(1)
    return tuple(
        Measured(
            id=experiment.id,
            metric=metric.column,
            metric_base=base[e, m],
            metric_other=other[e, m] if paired else None,
            metric_patched=patched[e, m],
        )
        for e, experiment in enumerate(experiments)
        for m, metric in enumerate(metrics)
    )
