"""Plan × prompts × model -> estimates, in parts that can be saved one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from circuitgraph.errors import RefusedError
from circuitgraph.execute.bind import BoundMetric, bind_batches
from circuitgraph.execute.fast.begin import Item
from circuitgraph.execute.gradient.estimator import Estimator
from circuitgraph.execute.gradient.paths import estimate
from circuitgraph.execute.literal import refuse_all
from circuitgraph.execute.parts import Table
from circuitgraph.execute.run import reference_values
from circuitgraph.execute.settings import DEFAULT, Settings
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans.estimates import why_no_estimate
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import EstimateMethod, EstimateSection

PART = 2**16
"""Experiments of a part: their gradients are the same, and taken once for each part."""
TOKENS = 1024
"""Tokens of a batch: a run with gradients keeps everything that it computes."""


def estimate_all(
    model: TransformerModel,
    plan: Plan,
    prompts: PromptSet,
    metrics: Sequence[BoundMetric],
    how: EstimateSection,
    *,
    reference: PromptSet | None = None,
    skip: frozenset[str] = frozenset(),
    settings: Settings = DEFAULT,
    progress: Callable[[int], None] = lambda _done: None,
) -> Iterator[tuple[Measured, ...]]:
    """Estimate every experiment of the plan but those in `skip` (ids), part by part.

    `metric_patched` is metric_base + estimate, and `executor` the name of the method.

    Args:
        reference: the prompts that `mean` and `resample` take values from.
        progress: called with the number of experiments that were finished since the last call, counted over batches.

    Raises:
        RefusedError: an experiment cannot be estimated; the message names each.
        InputError: plan, prompts and model do not fit together.
    """
    refuse_all(plan.experiments)
    refuse_estimates(model, plan.experiments, how)
    todo = [e for e in plan.experiments if e.id not in skip]
    referred = reference_values(model, todo, prompts, reference)
    longest = max(len(pair) for pair in prompts.pairs)
    size = max(1, min(settings.pairs, TOKENS // longest))
    batches = bind_batches(plan, prompts, metrics, model.shape, model.device, size)
    at_base = how.method in (EstimateMethod.EAP, EstimateMethod.ATP)
    counted = sum(-(-len(rows) // settings.pairs) for rows in prompts.by_length())
    for start in range(0, len(todo), PART):
        tables = [Table(experiment, metrics, len(prompts)) for experiment in todo[start : start + PART]]
        items = [Item(table.experiment, draw) for table in tables for draw in range(table.experiment.repeat)]
        told = 0
        for number, batch in enumerate(batches, start=1):
            estimator = Estimator(model, batch, metrics, items, referred, at_base=at_base)
            estimate(estimator, how.method, how.steps)
            _fill(tables, estimator)
            now = len(tables) * counted * number // len(batches)
            progress(now - told)
            told = now
        yield tuple(measured for table in tables for measured in table.measured(how.method.value))


def _fill(tables: Sequence[Table], estimator: Estimator) -> None:
    rows = torch.tensor(estimator.batch.rows).numpy()
    values, at = estimator.estimates.numpy(), 0
    sides = {b: estimator.unpatched(b) for b in dict.fromkeys(t.experiment.base for t in tables)}
    for table in tables:
        draws = table.experiment.repeat
        base, other = sides[table.experiment.base]
        table.fill(rows, base, other, base[:, None] + values[:, at : at + draws])
        at += draws


def refuse_estimates(model: TransformerModel, experiments: Sequence[Experiment], how: EstimateSection) -> None:
    """Raise for everything that cannot be estimated, before anything is.

    Raises:
        RefusedError: names each experiment with its reason.
    """
    found = [(e.label, why_no_estimate(e, model.shape, how.method)) for e in experiments]
    if reasons := [f"'{label}': {reason}" for label, reason in found if reason is not None]:
        raise RefusedError("\n".join(reasons))
