"""Plan × prompts × model -> measured values, in parts that can be saved one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from circuitgraph.errors import InputError
from circuitgraph.execute.bind import Batch, BoundMetric, bind_batches
from circuitgraph.execute.literal import LiteralExecutor, cached_sites, refuse_all
from circuitgraph.execute.references import Reference, unfit
from circuitgraph.execute.spots import output_spot, value_spots
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site
from circuitgraph.plans.types import Experiment, Mean, Plan, Recorded, Resample, Swap, Value
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import BaseRun, PromptsSpec

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
    reference: PromptSet | None = None,
    skip: frozenset[str] = frozenset(),
    progress: Progress = lambda _done: None,
) -> Iterator[tuple[Measured, ...]]:
    """Measure every experiment of the plan but those in `skip` (ids), part by part, in plan order.

    `reference` holds the prompts that `mean` and `resample` take values from. Everything that can be wrong
    with plan or prompts raises before the first forward pass.

    Raises:
        RefusedError: an experiment cannot be executed; the message names each.
        InputError: plan, prompts and model do not fit together.
    """
    refuse_all(plan.experiments)
    batches = bind_batches(plan, prompts, metrics, model.shape, model.device, BATCH)
    todo = [experiment for experiment in plan.experiments if experiment.id not in skip]
    referred = reference_values(model, todo, prompts, reference)
    for start in range(0, len(todo), PART):
        yield _part(model, todo[start : start + PART], batches, len(prompts), metrics, referred, progress)


def steps(plan: Plan, prompts: PromptSet) -> int:
    """How many steps `progress` will count for a plan: experiments × batches."""
    batches = sum(-(-len(rows) // BATCH) for rows in prompts.by_length())
    return len(plan.experiments) * batches


def reference_values(
    model: TransformerModel, experiments: Sequence[Experiment], prompts: PromptSet, reference: PromptSet | None
) -> Reference | None:
    """The activations of the reference set at every site that takes values from it; None if none does.

    Raises:
        InputError: there is no reference set, or it has not what an experiment needs.
    """
    sites: dict[BaseRun, set[Site]] = {}
    origin: PromptsSpec | None = None
    for experiment in experiments:
        for write in experiment.writes:
            if isinstance(write, Recorded) or not isinstance(write.source, Mean | Resample):
                continue
            if reference is None:
                raise InputError("mean and resample need a reference set, and none was given")
            if (problem := unfit(write, write.source, prompts, reference)) is not None:
                raise InputError(f"'{experiment.label}': {problem}")
            settings = write.source.reference
            if origin not in (None, settings.prompts):
                raise InputError(f"'{experiment.label}': one run has one reference set, and this is a second one")
            origin = settings.prompts
            sites.setdefault(settings.side, set()).update(_source_sites(model, write))
    return None if reference is None or not sites else Reference(model, reference, sites)


def _source_sites(model: TransformerModel, write: Value | Swap) -> Iterator[Site]:
    """Where a write puts values of its source."""
    match write:
        case Value():
            yield from (spot.site for spot in value_spots(write, model.shape))
        case Swap(senders):
            yield from (output_spot(sender, model.shape).site for sender in senders)


def _part(
    model: TransformerModel,
    experiments: Sequence[Experiment],
    batches: Sequence[Batch],
    pairs: int,
    metrics: Sequence[BoundMetric],
    reference: Reference | None,
    progress: Progress,
) -> tuple[Measured, ...]:
    """Batches outside, experiments inside: the caches of one batch at a time are in memory."""
    tables = [Table(experiment, metrics, pairs) for experiment in experiments]
    sites = cached_sites(experiments, model.shape)
    for batch in batches:
        executor = LiteralExecutor(model, batch, metrics, reference=reference, sites=sites)
        for table in tables:
            table.measure(executor)
            progress(1)
    return tuple(measured for table in tables for measured in table.measured())


class Table:
    """The values of one experiment, filled batch by batch: [metrics, pairs], of draws [metrics, pairs, draws]."""

    def __init__(self, experiment: Experiment, metrics: Sequence[BoundMetric], pairs: int) -> None:
        self._experiment = experiment
        self._columns = [metric.column for metric in metrics]
        shape = (len(metrics), pairs)
        self._base, self._other = np.empty(shape), np.full(shape, np.nan)
        self._patched = np.empty((*shape, experiment.repeat))
        self._paired = True

    def measure(self, executor: LiteralExecutor) -> None:
        """Run the experiment on the executor's batch."""
        rows = np.array(executor.batch.rows)
        for m, (here, there) in enumerate(executor.unpatched(self._experiment.base)):
            self._base[m, rows] = here.cpu().numpy()
            if there is None:
                self._paired = False
            else:
                self._other[m, rows] = there.cpu().numpy()
        for draw in range(self._experiment.repeat):
            for m, value in enumerate(executor.patched(self._experiment, draw)):
                self._patched[m, rows, draw] = value.cpu().numpy()

    def measured(self) -> tuple[Measured, ...]:
        """One record per metric; without another run where some pair has none."""
        return tuple(
            Measured(
                id=self._experiment.id,
                metric=column,
                metric_base=self._base[m],
                metric_other=self._other[m] if self._paired else None,
                metric_patched=self._patched[m].mean(axis=-1),
                draws=self._patched[m] if self._experiment.repeat > 1 else None,
            )
            for m, column in enumerate(self._columns)
        )
