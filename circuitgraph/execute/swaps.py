"""The `add` rule: each receiver reads its current input plus what its patched senders would change in it.

    input(R) = current input + Σ over patched senders u of (u's source write − u's current write)

Current, not base: with base writes, chained edges would be counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Generic, TypeVar, assert_never

import torch
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.execute.references import Values
from circuitgraph.execute.spots import Spot, input_spots, output_spot
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Position
from circuitgraph.plans.types import Source, Swap

Key = TypeVar("Key", bound=Hashable)


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
            for site in _read_from(model, spot.site):
                steps.setdefault(site, [])
            if wanted(spot):
                received.setdefault(spot, []).extend(changes)
    for spot, changes in received.items():
        steps.setdefault(spot.site, []).append(run.receive(spot, changes))
    return {site: run.sequence(site, chain) for site, chain in steps.items()}


class _Shared(Generic[Key]):
    """Tensors that several receivers need: each is made once, and forgotten after it was taken as often as expected."""

    def __init__(self) -> None:
        self._left: Counter[Key] = Counter()
        self._made: dict[Key, Tensor] = {}

    def expect(self, key: Key) -> bool:
        """Say that it will be taken once more; whether this is the first time."""
        self._left[key] += 1
        return self._left[key] == 1

    def take(self, key: Key, make: Callable[[], Tensor]) -> Tensor:
        """What was made, or what is made now."""
        self._left[key] -= 1
        value = self._made.pop(key) if key in self._made else make()
        if self._left[key] > 0:
            self._made[key] = value
        return value


_Part = tuple[_Change, ...]
"""Changes at one site: heads of one layer change together."""


class _SwapRun:
    """One run: the current values that its writes have seen, and the changes computed from them.

    Receivers whose senders change alike read the same stream: in a circuit most of a layer's do. Their activation is
    computed once for all of them.
    """

    def __init__(self, model: TransformerModel, batch: Batch, values_of: Callable[[Source], Values]) -> None:
        self._model = model
        self._batch = batch
        self._values_of = values_of
        self._current: dict[Site, Tensor] = {}
        self._numbers: dict[_Part, int] = {}
        self._parts: _Shared[int] = _Shared()
        self._read: _Shared[tuple[Site, tuple[int, ...]]] = _Shared()

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
        parts = self._numbered(changes)
        key = (spot.site, tuple(parts))
        if self._read.expect(key):
            for number in parts:
                self._parts.expect(number)

        def write(old: Tensor) -> Tensor:
            new = self._read.take(
                key, lambda: _activation(self._model, spot.site, old, self._current, self._change(parts))
            )
            return spot.put(old, new, where)

        return write

    def _numbered(self, changes: Sequence[_Change]) -> dict[int, _Part]:
        """The changes site by site, equal ones under one number."""
        by_site: dict[Site, list[_Change]] = {}
        for change in changes:
            by_site.setdefault(change.spot.site, []).append(change)
        parts = map(tuple, by_site.values())
        return {self._numbers.setdefault(part, len(self._numbers)): part for part in parts}

    def _change(self, parts: Mapping[int, _Part]) -> Tensor:
        """Σ (source write − current write) [batch, pos, d_model]."""
        total: Tensor | None = None
        for number, some in parts.items():
            part = self._parts.take(number, partial(self._part, some))
            total = part if total is None else total + part
        return torch.zeros(()) if total is None else total

    def _part(self, changes: _Part) -> Tensor:
        """What changes at one site do to the residual stream."""
        site = changes[0].spot.site
        now = new = self._current[site]
        for change in changes:
            values = self._values_of(change.source)(site, change.position)
            new = change.spot.put(new, values, self._where(change))
        return _residual_write(self._model, site, new) - _residual_write(self._model, site, now)

    def _where(self, change: _Change) -> Tensor | None:
        sent, received = self._batch.mask(change.position, change.kept), self._batch.mask(change.received_at)
        return received if sent is None else sent if received is None else sent & received


def _residual_write(model: TransformerModel, site: Site, activation: Tensor) -> Tensor:
    return model.write(site, activation) if site.kind in (SiteKind.Z, SiteKind.NEURONS) else activation


def _read_from(model: TransformerModel, site: Site) -> tuple[Site, ...]:
    """The sites whose current values give the stream that a site is computed from."""
    layer = site.layer
    match site.kind:
        case SiteKind.Q | SiteKind.K | SiteKind.V:
            return (Site(SiteKind.RESID_PRE, layer),)
        case SiteKind.MLP_IN | SiteKind.NEURONS:
            before = Site(SiteKind.RESID_PRE, layer)
            return (before,) if model.shape.parallel else (before, Site(SiteKind.ATTN_OUT, layer))
        case _:
            return ()


def _activation(
    model: TransformerModel, site: Site, old: Tensor, current: Mapping[Site, Tensor], change: Tensor
) -> Tensor:
    """What a site holds if the stream it reads has changed."""
    kind, layer = site.kind, site.layer
    match kind:
        case SiteKind.RESID_PRE | SiteKind.RESID_MID | SiteKind.FINAL:
            return old + change
        case SiteKind.Q | SiteKind.K | SiteKind.V:
            return model.port(site, current[Site(SiteKind.RESID_PRE, layer)] + change)
        case SiteKind.MLP_IN | SiteKind.NEURONS:
            stream = sum((current[each] for each in _read_from(model, site)), start=torch.zeros_like(change))
            read = model.mlp_input(layer, stream + change)
            return read if kind is SiteKind.MLP_IN else model.neurons(layer, read)
        case (
            SiteKind.Z
            | SiteKind.ATTN_OUT
            | SiteKind.MLP_OUT
            | SiteKind.PATTERN
            | SiteKind.EMBED
            | SiteKind.FEATURES
            | SiteKind.SAE_ERROR
        ):
            raise ValueError(f"{site} is no input")
        case _:
            assert_never(kind)
