"""What an estimate multiplies gradients with: how replaced outputs change the residual stream, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.execute.edits import Edit
from circuitgraph.execute.references import Values
from circuitgraph.execute.spots import value_spots
from circuitgraph.execute.values import Reads
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.plans.types import Source, Value
from circuitgraph.spec.model import BaseRun


class Deltas:
    """Changes of the outputs of one base run.

    Attributes:
        reads: activations of the unpatched runs, by side.
    """

    def __init__(self, model: TransformerModel, batch: Batch, reads: Reads, base: BaseRun) -> None:
        self._model = model
        self._batch = batch
        self._base = reads[base]

    def edits(self, writes: Sequence[Value], values: Callable[[Source], Values]) -> dict[Site, list[Edit]]:
        """What is put where, by site."""
        found: dict[Site, list[Edit]] = {}
        for write in writes:
            where = self._batch.mask(write.address.position, write.kept)
            for spot in value_spots(write, self._model.shape):
                value = values(write.source)(spot.site, write.address.position)
                found.setdefault(spot.site, []).append(Edit(spot, value, where))
        return found

    def activations(self, edits: dict[Site, list[Edit]]) -> dict[Site, Tensor]:
        """How activations change at each site."""
        return {site: self._applied(some) - self._base[site] for site, some in edits.items()}

    def stream(self, writes: Sequence[Value], values: Callable[[Source], Values]) -> dict[int, Tensor]:
        """How the residual stream changes where the outputs of `writes` land: point → [batch, pos, d_model]."""
        found: dict[int, Tensor] = {}
        points = {site: self._model.shape.written_at(w.address.node) for w in writes for site in self._sites(w)}
        for site, some in self.edits(writes, values).items():
            change = self._written(site, some)
            found[points[site]] = found[points[site]] + change if points[site] in found else change
        return found

    def _sites(self, write: Value) -> list[Site]:
        return [spot.site for spot in value_spots(write, self._model.shape)]

    def _applied(self, edits: Sequence[Edit]) -> Tensor:
        new = self._base[edits[0].spot.site]
        for edit in edits:
            new = edit(new)
        return new

    def _written(self, site: Site, edits: Sequence[Edit]) -> Tensor:
        """The change of what a site writes; of a layer with a norm after it, with its other heads as they are."""
        lean, base = self._model.lean, self._base[site]
        match site.kind:
            case SiteKind.Z:
                piece, weight = lean.attention[site.layer], lean.attention[site.layer].weight
            case SiteKind.NEURONS:
                piece, weight = lean.mlps[site.layer], lean.mlps[site.layer].weight
            case _:
                return self._applied(edits) - base
        if piece.post is not None:
            return piece.write(self._applied(edits)) - piece.write(base)
        parts = {edit.spot.index for edit in edits}
        if len(edits) == 1 and None not in parts:
            (edit,), (part,) = edits, parts
            change = edit.value[:, :, part] - base[:, :, part]
            if edit.where is not None:
                change = torch.where(edit.where.reshape(*change.shape[:2], *[1] * (change.dim() - 2)), change, 0)
            return change @ weight[part] if site.kind is SiteKind.Z else change[..., None] * weight[part]
        return (self._applied(edits) - base).flatten(2) @ weight.flatten(0, -2)
