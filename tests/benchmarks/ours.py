"""The executors of circuitgraph on one batch, called below the plan's batching and files: stage 1 is cached before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from circuitgraph.execute.bind import Batch, bind_batches, bind_metrics
from circuitgraph.execute.fast.begin import Item
from circuitgraph.execute.fast.executor import FastExecutor
from circuitgraph.execute.fast.needed import needed_sites
from circuitgraph.execute.literal import LiteralExecutor, cached_sites
from circuitgraph.graph.claims import CircuitGraph, Claim
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans import build_plan
from circuitgraph.plans.physical import physical_of
from circuitgraph.plans.schedule import Executor
from circuitgraph.plans.work import PromptShape, forward_work
from circuitgraph.prompts.pairs import PromptSet
from tests.measuring import LOGIT_DIFF


class Ours:
    """Some claims on one batch."""

    def __init__(self, model: TransformerModel, prompts: PromptSet, claims: Sequence[Claim]) -> None:
        """Bind and cache what they read."""
        self._model = model
        self._prompts = PromptShape.of(prompts)
        self._metrics = bind_metrics([LOGIT_DIFF])
        plan = build_plan(CircuitGraph("benchmark", model.shape, (), tuple(claims)))
        self.batch: Batch
        (self.batch,) = bind_batches(plan, prompts, self._metrics, model.shape, model.device, len(prompts))
        self._plan, self._experiments = plan, plan.experiments
        sites = needed_sites(plan.experiments, model.shape)
        self._fast = FastExecutor(model, self.batch, self._metrics, sites=sites)
        self._literal: LiteralExecutor | None = None

    def __len__(self) -> int:
        return len(self._experiments)

    def fast(self) -> NDArray[np.float64]:
        """The metric of every claim. [claims, pairs]"""
        return self._fast.measure([Item(experiment, 0) for experiment in self._experiments])[0]

    @torch.no_grad()
    def literal(self) -> NDArray[np.float64]:
        """The same, by its definition."""
        if self._literal is None:
            sites = cached_sites(self._experiments, self._model.shape)
            self._literal = LiteralExecutor(self._model, self.batch, self._metrics, sites=sites)
        found = [next(iter(self._literal.patched(experiment))) for experiment in self._experiments]
        return torch.stack(found).cpu().numpy()

    def unpatched(self) -> NDArray[np.float64]:
        """The metric of the base run. [pairs]"""
        return self._fast.unpatched(self._experiments[0].base)[0][0]

    @property
    def counted(self) -> int:
        """Operations of stages 2 and 3 and of reading the metric, by the formulas of the physical plan."""
        columns = 2  # The right and the wrong answer.
        found = physical_of(self._plan, self._model.shape, self._prompts, Executor.FAST, columns)
        return found.flops - found.cache

    @property
    def forward(self) -> int:
        """Operations of a plain forward pass, by the same formulas."""
        return forward_work(self._model.shape, self._prompts)

    def flops(self) -> int:
        """What the matrix products of `fast` add up to, all of them: stages 2 and 3 and the reading of the metric."""
        with FlopCounterMode(display=False) as counter:
            self.fast()
        return counter.get_total_flops()
