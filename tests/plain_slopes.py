"""The oracle of gradient estimates: how the exact effect begins to change, by whole hooked runs and finite differences.

Nothing of it takes a gradient. `Slopes.effect` is the literal executor's stages with the change of the sender's write
scaled by ε; at ε = 1 it is the exact effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.execute.edits import Edit, of_site, write_of
from circuitgraph.execute.literal import LiteralExecutor
from circuitgraph.execute.references import Values
from circuitgraph.execute.spots import Spot, input_spots, value_spots
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind, sites_of
from circuitgraph.plans.types import Experiment, Free, Isolate, Source, Value
from circuitgraph.spec.model import BaseRun


@contextmanager
def float64_inside() -> Iterator[None]:
    """Families that take norms, scores or softmax in float32 take them in float64: differences need the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(Tensor, "float", Tensor.double)
        yield


def exact_inside(model: TransformerModel) -> TransformerModel:
    """The same model, whose own pieces compute so as well."""
    found = copy(model)
    found.rules = tuple(replace(rule, scores_dtype=None, softmax_dtype=None) for rule in model.rules)
    return found


class Slopes(LiteralExecutor):
    """A literal executor whose senders go a part of the way."""

    def effect(self, experiment: Experiment, draw: int, share: float) -> NDArray[np.float64]:
        """metric(patched) − metric(base). [metrics, pairs]"""
        base = experiment.base

        def values(source: Source) -> Values:
            whole = self._values(base, draw, source)
            if experiment.isolations:
                return whole
            return lambda site, position: self._between(base, site, whole(site, position), share)

        recorded = [self._part_way(i, base, draw, share) for i in experiment.isolations]
        logits = self._metric_logits(self._propagate(experiment, values, recorded))
        patched = [m.measure(self._readout(i, base, logits[i])) for i, m in enumerate(self.metrics)]
        unpatched = [here for here, _ in self.unpatched(base)]
        return (torch.stack(patched) - torch.stack(unpatched)).numpy()

    def slope(self, experiment: Experiment, draw: int, step: float) -> NDArray[np.float64]:
        """The derivative at 0, by a central difference. [metrics, pairs]"""
        return (self.effect(experiment, draw, step) - self.effect(experiment, draw, -step)) / (2 * step)

    def _between(self, base: BaseRun, site: Site, value: Tensor, share: float) -> Tensor:
        old = self._caches.reads[base][site]
        return old + share * (value - old)

    def _part_way(self, isolation: Isolate, base: BaseRun, draw: int, share: float) -> Mapping[Spot, Tensor]:
        """What receivers read when what the senders write has changed by a part of its change."""
        reads, free = self._caches.reads[base], isolation.free is Free.MLPS
        edits: list[Edit] = []
        for write in isolation.writes:
            assert isinstance(write, Value)
            values = self._values(base, draw, write.source)
            where = self.batch.mask(write.address.position)
            for spot in value_spots(write, self.model.shape):
                edits.append(Edit(spot, values(spot.site, write.address.position), where))
        frozen = sites_of(self.model.shape, (SiteKind.Z,) if free else (SiteKind.Z, SiteKind.MLP_OUT))
        writes: dict[Site, Write] = {site: write_of(reads[site], (), ()) for site in frozen}
        for site in {edit.spot.site for edit in edits}:
            chain = of_site(edits, site)
            new = write_of(reads[site], (), chain)(reads[site])
            if site.kind is SiteKind.Z or (site.kind is SiteKind.NEURONS and not free):
                out = Site(SiteKind.ATTN_OUT if site.kind is SiteKind.Z else SiteKind.MLP_OUT, site.layer)
                change = self.model.write(site, new) - self.model.write(site, reads[site])
                writes[out] = _adding(share * change, writes.get(out))
            else:
                part = [replace(edit, value=reads[site] + share * (edit.value - reads[site])) for edit in chain]
                writes[site] = _then(writes.get(site), write_of(None, (), part))
        spots = tuple(spot for address in isolation.record for spot in input_spots(address, self.model.shape))
        run = self.model.run(self.batch.ids(base), reads=[spot.site for spot in spots], writes=writes)
        return {spot: run.reads[spot.site] for spot in spots}


def _adding(change: Tensor, before: Write | None) -> Write:
    return lambda old: (old if before is None else before(old)) + change


def _then(first: Write | None, second: Write) -> Write:
    return second if first is None else lambda old: second(first(old))
