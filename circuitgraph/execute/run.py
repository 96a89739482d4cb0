"""Plan × prompts × model -> measured values, in parts that can be saved one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from circuitgraph.errors import InputError
from circuitgraph.execute.audit import Audit
from circuitgraph.execute.bind import BoundMetric
from circuitgraph.execute.literal import refuse_all
from circuitgraph.execute.parts import Parts, Progress
from circuitgraph.execute.references import Reference, unfit
from circuitgraph.execute.settings import DEFAULT, Settings
from circuitgraph.execute.spots import output_spot, value_spots
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site
from circuitgraph.plans.schedule import Executor, parts_of
from circuitgraph.plans.types import Experiment, Mean, Plan, Recorded, Resample, Swap, Value
from circuitgraph.plans.work import PromptShape
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import BaseRun, PromptsSpec


def execute(
    model: TransformerModel,
    plan: Plan,
    prompts: PromptSet,
    metrics: Sequence[BoundMetric],
    *,
    reference: PromptSet | None = None,
    skip: frozenset[str] = frozenset(),
    progress: Progress = lambda _done: None,
    executor: Executor = Executor.LITERAL,
    settings: Settings = DEFAULT,
    audit: Audit | None = None,
    halved: Callable[[Settings], None] = lambda _settings: None,
) -> Iterator[tuple[Measured, ...]]:
    """Measure every experiment of the plan but those in `skip` (ids), part by part.

    Everything that can be wrong with plan or prompts raises before the first forward pass.

    Args:
        reference: the prompts that `mean` and `resample` take values from.
        progress: called with the number of experiments that were finished since the last call, counted over batches.
        executor: who runs what it can; the literal executor runs the rest.
        audit: recomputes a sample of what the fast executor measured, part by part.
        halved: called with the new settings when memory ran out.

    Raises:
        RefusedError: an experiment cannot be executed; the message names each.
        InputError: plan, prompts and model do not fit together.
        AuditError: the executors do not agree on an experiment.
    """
    refuse_all(plan.experiments)
    shape = PromptShape.of(prompts, read=len({metric.position for metric in metrics}))
    parts = parts_of(plan, model.shape, shape, executor, model.device.type)
    todo = [part for part in (part.but(skip) for part in parts) if part.experiments]
    referred = reference_values(model, [e for part in todo for e in part.experiments], prompts, reference)
    if audit is not None:
        audit.choose([e for part in parts if part.executor is Executor.FAST for e in part.experiments], prompts)
    worker = Parts(model, plan, todo, prompts, metrics, referred, settings, progress, halved)
    for part in todo:
        measured = worker.measure(part)
        if audit is not None and part.executor is Executor.FAST:
            audit.check(part.experiments, measured, worker)
        yield measured


def steps(plan: Plan, prompts: PromptSet, settings: Settings = DEFAULT) -> int:
    """How many steps `progress` will count for a plan: experiments × batches."""
    batches = sum(-(-len(rows) // settings.pairs) for rows in prompts.by_length())
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
