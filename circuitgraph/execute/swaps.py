"""The `add` rule: each receiver reads its current input plus what its patched senders would change in it.

    input(R) = current input + Σ over patched senders u of (u's source write − u's current write)

Current, not base: with base writes, chained edges would be counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

import torch
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.execute.spots import Spot, input_spots, output_spot
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Address, Position
from circuitgraph.plans.types import Source, Swap

_PORTS = {SiteKind.Q: 0, SiteKind.K: 1, SiteKind.V: 2}


def swap_writes(
    model: TransformerModel,
    batch: Batch,
    swaps: Sequence[Swap],
    values_of: Callable[[Source], Mapping[Site, Tensor]],
    wanted: Callable[[Spot], bool],
    others: Mapping[Site, Write],
) -> dict[Site, Write]:
    """The writes of one run in which all swaps hold, on top of `others`.

    Some writes only look: they keep the current value of a sender, or of the stream a receiver reads.
    """
    current: dict[Site, Tensor] = {}
    steps: dict[Site, list[Write]] = {site: [write] for site, write in others.items()}

    def look(site: Site) -> None:
        steps.setdefault(site, [])

    for swap in swaps:
        for sender in swap.senders:
            look(output_spot(sender).site)
        for spot in input_spots(swap.port, model.shape):
            for site in _read_from(model, spot):
                look(site)
            if wanted(spot):
                steps.setdefault(spot.site, []).append(
                    _receive(model, batch, swap, spot, values_of(swap.source), current)
                )
    return {site: _sequence(site, chain, current) for site, chain in steps.items()}


def _sequence(site: Site, chain: Sequence[Write], current: dict[Site, Tensor]) -> Write:
    def write(old: Tensor) -> Tensor:
        new = old
        for step in chain:
            new = step(new)
        current[site] = new
        return new

    return write


def _receive(
    model: TransformerModel,
    batch: Batch,
    swap: Swap,
    spot: Spot,
    source: Mapping[Site, Tensor],
    current: Mapping[Site, Tensor],
) -> Write:
    """The write at a receiver's spot: its activation, recomputed from the changed input."""

    def write(old: Tensor) -> Tensor:
        change = change_of(model, batch, swap.senders, source, current)
        where = batch.at(swap.port.position)
        return spot.put(old, _activation(model, spot, old, current, change), where)

    return write


def change_of(
    model: TransformerModel,
    batch: Batch,
    senders: Sequence[Address],
    source: Mapping[Site, Tensor],
    current: Mapping[Site, Tensor],
) -> Tensor:
    """Σ (source write − current write) [batch, pos, d_model]; senders of one site change together."""
    by_site: dict[Site, list[tuple[Spot, Position | None]]] = {}
    for sender in senders:
        spot = output_spot(sender)
        by_site.setdefault(spot.site, []).append((spot, sender.position))
    total: Tensor | None = None
    for site, spots in by_site.items():
        now = new = current[site]
        for spot, position in spots:
            new = spot.put(new, source[site], batch.at(position))
        part = _residual_write(model, site, new) - _residual_write(model, site, now)
        total = part if total is None else total + part
    return torch.zeros(()) if total is None else total


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
