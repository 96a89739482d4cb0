"""Plan × prompts × model -> estimates, in parts that can be saved one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from circuitgraph.errors import RefusedError
from circuitgraph.execute.bind import BoundMetric, bind_batches
from circuitgraph.execute.fast.begin import Item
from circuitgraph.execute.gradient.estimator import Estimator
from circuitgraph.execute.gradient.paths import estimate
from circuitgraph.execute.literal import refuse_all
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
        some = todo[start : start + PART]
        table = _Table(some, len(metrics), len(prompts))
        told = 0
        for number, batch in enumerate(batches, start=1):
            estimator = Estimator(model, batch, metrics, table.items, referred, at_base=at_base)
            estimate(estimator, how.method, how.steps)
            table.fill(estimator)
            now = len(some) * counted * number // len(batches)
            progress(now - told)
            told = now
        yield tuple(table.measured([metric.column for metric in metrics], how.method.value))


class _Table:
    """The values of many experiments, filled batch by batch; what experiments share is held once."""

    def __init__(self, experiments: Sequence[Experiment], metrics: int, pairs: int) -> None:
        self.experiments = experiments
        self.items = [Item(experiment, draw) for experiment in experiments for draw in range(experiment.repeat)]
        self._bases = {item.experiment.base for item in self.items}
        self._rows = {b: [i for i, item in enumerate(self.items) if item.experiment.base is b] for b in self._bases}
        self._base = {base: np.empty((metrics, pairs)) for base in self._bases}
        self._other = {base: np.empty((metrics, pairs)) for base in self._bases}
        self._patched = np.empty((metrics, len(self.items), pairs))
        self._paired = True

    def fill(self, estimator: Estimator) -> None:
        """The values of a batch."""
        pairs, estimates = list(estimator.batch.rows), estimator.estimates.numpy()
        for base, rows in self._rows.items():
            here, other = estimator.unpatched(base)
            self._base[base][:, pairs] = here
            self._paired = self._paired and other is not None
            self._other[base][:, pairs] = np.nan if other is None else other
            self._patched[np.ix_(range(len(here)), rows, pairs)] = here[:, None] + estimates[:, rows]

    def measured(self, columns: Sequence[str], method: str) -> Iterator[Measured]:
        """One record per experiment and metric; without another run where some pair has none."""
        at = 0
        for experiment in self.experiments:
            draws = slice(at, at + experiment.repeat)
            at = draws.stop
            for m, column in enumerate(columns):
                base = experiment.base
                values = self._patched[m, draws]
                yield Measured(
                    id=experiment.id,
                    metric=column,
                    metric_base=self._base[base][m],
                    metric_other=self._other[base][m] if self._paired else None,
                    metric_patched=values[0] if experiment.repeat == 1 else values.mean(axis=0),
                    draws=values.T.copy() if experiment.repeat > 1 else None,
                    executor=method,
                )


def refuse_estimates(model: TransformerModel, experiments: Sequence[Experiment], how: EstimateSection) -> None:
    """Raise for everything that cannot be estimated, before anything is.

    Raises:
        RefusedError: names each experiment with its reason.
    """
    found = [(e.label, why_no_estimate(e, model.shape, how.method)) for e in experiments]
    if reasons := [f"'{label}': {reason}" for label, reason in found if reason is not None]:
        raise RefusedError("\n".join(reasons))
