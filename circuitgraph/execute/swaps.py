"""The `add` rule: each receiver reads its current input plus what its patched senders would change in it.

    input(R) = current input + Σ over patched senders u of (u's source write − u's current write)

Current, not base: with base writes, chained edges would be counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import assert_never

import torch
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.execute.references import Values
from circuitgraph.execute.spots import Spot, input_spots, output_spot
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Position
from circuitgraph.plans.types import Source, Swap

_PORTS = {SiteKind.Q: 0, SiteKind.K: 1, SiteKind.V: 2}


@dataclass(frozen=True, slots=True)
class _Change:
    """A sender's part in what a receiver reads: where its write is exchanged, and for what."""

    spot: Spot
    source: Source
    position: Position | None
    kept: tuple[Position, ...]
    received_at: Position | None


def swap_writes(
    model: TransformerModel,
    batch: Batch,
    swaps: Sequence[Swap],
    values_of: Callable[[Source], Values],
    wanted: Callable[[Spot], bool],
    others: Mapping[Site, Write],
) -> dict[Site, Write]:
    """The writes of one run in which all swaps hold, on top of `others`.

    Some writes only look: they keep the current value of a sender, or of the stream a receiver reads.
    """
    run = _SwapRun(model, batch, values_of)
    steps: dict[Site, list[Write]] = {site: [write] for site, write in others.items()}
    received: dict[Spot, list[_Change]] = {}
    for swap in swaps:
        changes = [
            _Change(output_spot(sender, model.shape), swap.source, sender.position, kept, swap.port.position)
            for sender, kept in zip(swap.senders, swap.kept or repeat(()), strict=False)
        ]
        for change in changes:
            steps.setdefault(change.spot.site, [])
        for spot in input_spots(swap.port, model.shape):
            for site in _read_from(model, spot):
                steps.setdefault(site, [])
            if wanted(spot):
                received.setdefault(spot, []).extend(changes)
    for spot, changes in received.items():
        steps.setdefault(spot.site, []).append(run.receive(spot, changes))
    return {site: run.sequence(site, chain) for site, chain in steps.items()}


class _SwapRun:
    """One run: the current values that its writes have seen, and the changes computed from them."""

    def __init__(self, model: TransformerModel, batch: Batch, values_of: Callable[[Source], Values]) -> None:
        self._model = model
        self._batch = batch
        self._values_of = values_of
        self._current: dict[Site, Tensor] = {}
        self._parts: dict[tuple[_Change, ...], Tensor] = {}

    def sequence(self, site: Site, chain: Sequence[Write]) -> Write:
        """All writes at a site in order; the value is kept."""

        def write(old: Tensor) -> Tensor:
            new = old
            for step in chain:
                new = step(new)
            self._current[site] = new
            return new

        return write

    def receive(self, spot: Spot, changes: Sequence[_Change]) -> Write:
        """The write at a receiver's spot: its activation, recomputed from the changed input."""
        masks = [self._batch.mask(position) for position in dict.fromkeys(c.received_at for c in changes)]
        everywhere = any(mask is None for mask in masks)
        where = None if everywhere else torch.stack([mask for mask in masks if mask is not None]).any(dim=0)

        def write(old: Tensor) -> Tensor:
            new = _activation(self._model, spot, old, self._current, self._change(changes))
            return spot.put(old, new, where)

        return write

    def _change(self, changes: Sequence[_Change]) -> Tensor:
        """Σ (source write − current write) [batch, pos, d_model]; senders of one site change together."""
        by_site: dict[Site, list[_Change]] = {}
        for change in changes:
            by_site.setdefault(change.spot.site, []).append(change)
        total: Tensor | None = None
        for some in by_site.values():
            part = self._part(tuple(some))
            total = part if total is None else total + part
        return torch.zeros(()) if total is None else total

    def _part(self, changes: tuple[_Change, ...]) -> Tensor:
        """What changes at one site do to the residual stream; receivers that share senders share it."""
        if changes not in self._parts:
            site = changes[0].spot.site
            now = new = self._current[site]
            for change in changes:
                values = self._values_of(change.source)(site, change.position)
                new = change.spot.put(new, values, self._where(change))
            self._parts[changes] = _residual_write(self._model, site, new) - _residual_write(self._model, site, now)
        return self._parts[changes]

    def _where(self, change: _Change) -> Tensor | None:
        sent, received = self._batch.mask(change.position, change.kept), self._batch.mask(change.received_at)
        return received if sent is None else sent if received is None else sent & received


def _residual_write(model: TransformerModel, site: Site, activation: Tensor) -> Tensor:
    return model.write(site, activation) if site.kind in (SiteKind.Z, SiteKind.NEURONS) else activation


def _read_from(model: TransformerModel, spot: Spot) -> tuple[Site, ...]:
    """The sites whose current values give the stream that a receiver reads."""
    layer = spot.site.layer
    match spot.site.kind:
        case SiteKind.Q | SiteKind.K | SiteKind.V:
            return (Site(SiteKind.RESID_PRE, layer),)
        case SiteKind.MLP_IN | SiteKind.NEURONS:
            before = Site(SiteKind.RESID_PRE, layer)
            return (before,) if model.shape.parallel else (before, Site(SiteKind.ATTN_OUT, layer))
        case _:
            return ()


def _activation(
    model: TransformerModel, spot: Spot, old: Tensor, current: Mapping[Site, Tensor], change: Tensor
) -> Tensor:
    kind, layer = spot.site.kind, spot.site.layer
    match kind:
        case SiteKind.RESID_PRE | SiteKind.RESID_MID | SiteKind.FINAL:
            return old + change
        case SiteKind.Q | SiteKind.K | SiteKind.V:
            stream = current[Site(SiteKind.RESID_PRE, layer)]
            return model.ports(layer, stream + change)[_PORTS[kind]]
        case SiteKind.MLP_IN | SiteKind.NEURONS:
            stream = sum((current[site] for site in _read_from(model, spot)), start=torch.zeros_like(change))
            read = model.mlp_input(layer, stream + change)
            return read if kind is SiteKind.MLP_IN else model.neurons(layer, read)
        case SiteKind.Z | SiteKind.ATTN_OUT | SiteKind.MLP_OUT | SiteKind.PATTERN:
            raise ValueError(f"{spot.site} is no input")
        case _:
            assert_never(kind)
