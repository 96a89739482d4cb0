"""Experiments one after the other, each chosen by what the last one gave: the caches are made once and kept.

`run.execute` measures many experiments batch by batch and holds the caches of one batch at a time. A sequential
search does not know its next experiment yet, so a session holds the caches of all batches: for 64 pairs in one
batch that is the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.execute.bind import BoundMetric, bind_batches
from circuitgraph.execute.literal import LiteralExecutor, cached_sites, refuse_all
from circuitgraph.execute.parts import Table
from circuitgraph.execute.run import reference_values
from circuitgraph.execute.settings import DEFAULT
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans.schedule import Executor
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured


class Session:
    """Measures single experiments on one set of prompts."""

    def __init__(
        self,
        model: TransformerModel,
        prompts: PromptSet,
        metrics: Sequence[BoundMetric],
        widest: Experiment,
        reference: PromptSet | None = None,
    ) -> None:
        """Cache the runs of all prompts.

        Args:
            widest: an experiment that mentions every position and every sender that later ones will.
            reference: the prompts that `mean` and `resample` take values from.

        Raises:
            RefusedError, InputError: the experiment cannot be run on these prompts.
        """
        refuse_all([widest])
        self._metrics = tuple(metrics)
        self._pairs = len(prompts)
        batches = bind_batches(Plan("session", (widest,)), prompts, metrics, model.shape, model.device, DEFAULT.pairs)
        referred = reference_values(model, [widest], prompts, reference)
        sites = cached_sites([widest], model.shape)
        self._executors = [LiteralExecutor(model, batch, metrics, reference=referred, sites=sites) for batch in batches]

    def measure(self, experiment: Experiment) -> tuple[Measured, ...]:
        """One experiment under each metric, on all pairs."""
        table = Table(experiment, self._metrics, self._pairs)
        for executor in self._executors:
            table.measure(executor)
        return table.measured(Executor.LITERAL)
