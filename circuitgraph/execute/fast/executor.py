"""The fast executor: many experiments of one batch, each computed from where it begins to differ from the base run.

    cache      one run per side, up to the final residual stream; what later stages read is kept
    isolate    no run at all: see `streams` and `begin`
    propagate  the blocks after the change, experiments stacked: see `groups` and `propagate`

Never another number than the literal executor's but for rounding; `plans.routes.slow_reason` says what it leaves to
that one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.execute.bind import Batch, BoundMetric
from circuitgraph.execute.fast.begin import Beginnings, Item, Sources
from circuitgraph.execute.fast.groups import Groups
from circuitgraph.execute.fast.kept import Kept
from circuitgraph.execute.fast.reading import Readings
from circuitgraph.execute.references import Reference
from circuitgraph.execute.settings import DEFAULT
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.models.threads import fitting_threads
from circuitgraph.spec.model import BaseRun


class FastExecutor:
    """Runs experiments on one batch of prompts."""

    def __init__(
        self,
        model: TransformerModel,
        batch: Batch,
        metrics: Sequence[BoundMetric],
        *,
        sites: Mapping[BaseRun, Collection[Site]],
        reference: Reference | None = None,
        tokens: int = DEFAULT.tokens,
    ) -> None:
        """Cache the runs of a batch.

        Args:
            sites: what is kept of each side: the `needed_sites` of the experiments that follow.
            reference: the reference set of `mean` and `resample`.
            tokens: how many tokens a stack may have.
        """
        self.model = model
        self.batch = batch
        self._metrics = tuple(metrics)
        self._reference = reference
        self._tokens = tokens
        self._reads = {side: self._run(side, sites[side]) for side in batch.sides}
        with torch.no_grad(), fitting_threads(model.shape):
            finals = {side: reads[Site(SiteKind.FINAL)] for side, reads in self._reads.items()}
            self._readings = Readings(model.lean, batch, metrics, finals)
        # What comes after the last token that is read cannot matter to a causal model.
        length = int(self._readings.read.max()) + 1 if model.shape.causal else batch.clean.shape[1]
        self._kept = {
            side: Kept(model, {site: _cut(site, value, length) for site, value in reads.items()}, length)
            for side, reads in self._reads.items()
        }

    def _run(self, side: BaseRun, sites: Collection[Site]) -> dict[Site, Tensor]:
        """The activations of a side, some pairs at a time: a whole run holds far more than what is kept of it."""
        ids, found = self.batch.ids(side), dict[Site, Tensor]()
        for rows in torch.arange(len(ids), device=ids.device).split(max(1, self._tokens // ids.shape[1])):
            for site, value in self.model.run(ids[rows], reads=sites, unembed=False).reads.items():
                whole = found.setdefault(site, value.new_empty(len(ids), *value.shape[1:]))
                whole[rows] = value
        return found

    @property
    def size(self) -> int:
        """Bytes of what is cached."""
        return sum(kept.size for kept in self._kept.values())

    @torch.no_grad()
    def unpatched(self, base: BaseRun) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Every metric in the base run and in the other run (None without one). [metrics, pairs]"""
        other = self._readings.other(base)
        return self._readings.unpatched(base).cpu().numpy(), None if other is None else other.cpu().numpy()

    @torch.no_grad()
    def measure(
        self, items: Sequence[Item], progress: Callable[[int], None] = lambda _done: None
    ) -> NDArray[np.float64]:
        """Every metric in the patched run of each item, experiments without swaps. [metrics, items, pairs]

        `progress` is called with the number of experiments that were finished since the last call.
        """
        found = np.empty((len(self._metrics), len(items), len(self.batch.rows)))
        with fitting_threads(self.model.shape):
            for base in dict.fromkeys(item.experiment.base for item in items):
                some = [i for i, item in enumerate(items) if item.experiment.base is base]
                sources = Sources(self._reads, self._reference, self.batch, base)
                begin = Beginnings(self.model, self.batch, self._kept[base], sources)
                run = Groups(self.model, self._kept[base], self._readings, begin, base, self._tokens, progress)
                found[:, some] = run.measure([items[i] for i in some])
        return found


def _cut(site: Site, value: Tensor, length: int) -> Tensor:
    """An activation at the first tokens."""
    return value[:, :, :length, :length] if site.kind is SiteKind.PATTERN else value[:, :length]
