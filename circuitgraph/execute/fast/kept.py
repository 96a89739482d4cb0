"""What the unpatched runs of a batch leave behind for the fast executor. Stage 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitgraph.execute.fast.needed import stream_site
from circuitgraph.models.attention import prepared
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind


@dataclass(frozen=True, eq=False)
class Kept:
    """Activations of one unpatched run of a batch, up to the token `length` that is the last to be read."""

    model: TransformerModel
    reads: Mapping[Site, Tensor]
    length: int
    _attended: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __getitem__(self, site: Site) -> Tensor:
        """The activation at a site. [batch, length, …]"""
        return self.reads[site]

    @property
    def pairs(self) -> int:
        """How many pairs the batch has."""
        return next(iter(self.reads.values())).shape[0]

    @property
    def size(self) -> int:
        """Bytes of all activations."""
        return sum(value.nbytes for value in self.reads.values()) + sum(
            part.nbytes for parts in self._attended.values() for part in parts
        )

    def stream(self, point: int) -> Tensor:
        """The residual stream at one of its points. [batch, length, d_model]"""
        return self.reads[stream_site(point, self.model.shape)]

    def attended(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys, ready for scores, and values of a layer. [batch, kv heads, length, d_head]"""
        if layer not in self._attended:
            k, v = (self.reads[Site(kind, layer)] for kind in (SiteKind.K, SiteKind.V))
            positions = torch.arange(self.length, device=k.device)[None]
            ready = prepared(self.model.rules[layer], k, positions, keys=True)
            self._attended[layer] = (ready.transpose(1, 2).contiguous(), v.transpose(1, 2).contiguous())
        return self._attended[layer]

    def of(self, pairs: Tensor) -> Kept:
        """The same for some pairs of the batch, which are in order."""
        if len(pairs) == self.pairs:
            return self
        reads = _Chosen(self.reads, pairs)
        chosen = Kept(self.model, reads, self.length)
        for layer in self._attended:
            keys, values = self._attended[layer]
            chosen._attended[layer] = (keys[pairs], values[pairs])
        return chosen


class _Chosen(dict[Site, Tensor]):
    """Rows of activations, taken when they are asked for."""

    def __init__(self, reads: Mapping[Site, Tensor], rows: Tensor) -> None:
        super().__init__()
        self._reads, self._rows = reads, rows

    def __missing__(self, site: Site) -> Tensor:
        self[site] = self._reads[site][self._rows]
        return self[site]
