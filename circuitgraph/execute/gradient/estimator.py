"""Estimates of many experiments on one batch of prompts: changes of outputs times gradients at inputs.

    estimate = Σ over receivers, tokens   Δ(senders) · ∂metric/∂(the stream that the receiver reads)

The gradients are those of the base run, or averaged over runs on the way from the base to the source: see `paths`.
Senders and receivers of one layer meet in one product; only they are held at once, never edges × tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.execute.bind import Batch, BoundMetric
from circuitgraph.execute.edits import Edit
from circuitgraph.execute.fast.begin import Item
from circuitgraph.execute.fast.reading import Readings
from circuitgraph.execute.gradient.deltas import Deltas
from circuitgraph.execute.gradient.pulls import Pulled, Pulls, gradient_sites, stream_sites, value_sites
from circuitgraph.execute.references import Reference, Values
from circuitgraph.execute.spots import value_spots
from circuitgraph.execute.values import values_of
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.models.slopes import FINAL, START, Slopes, slopes
from circuitgraph.models.threads import fitting_threads
from circuitgraph.nodes import Address, Attention, Head, KVHead
from circuitgraph.plans.estimates import Term, held, terms_of, values_of_node
from circuitgraph.plans.types import Recorded, Source, Value
from circuitgraph.spec.model import BaseRun

FLOATS = 2**26
"""Numbers of senders' changes that are held at once."""

SourceValues = Callable[[Source], Values]


@dataclass(frozen=True, eq=False)
class Bound:
    """An experiment in one draw: its row among the estimates, and what it multiplies."""

    row: int
    item: Item
    terms: tuple[Term, ...]
    nodes: tuple[Value, ...]
    held: tuple[Value | Recorded, ...]

    @property
    def senders(self) -> tuple[Value, ...]:
        """Everything whose output is replaced."""
        return (*self.nodes, *dict.fromkeys(value for term in self.terms for value in term.senders))


Drawn = tuple[tuple[Value, ...], int]
"""Senders in a draw."""
Chunked = tuple[Bound, Term, dict[int, Tensor]]
"""A term with the change of its senders, by the point where it lands."""


class Estimator:
    """Estimates on one batch."""

    def __init__(
        self, model: TransformerModel, batch: Batch, metrics: Sequence[BoundMetric], items: Sequence[Item],
        reference: Reference | None,
    ) -> None:  # fmt: skip
        """Run the sides of the batch once, and keep what the experiments replace."""
        self.model = model
        self.batch = batch
        self._reference = reference
        shape = model.shape
        self.bound = tuple(
            Bound(i, item, terms_of(item.experiment), values_of_node(item.experiment), held(item.experiment, shape))
            for i, item in enumerate(items)
        )
        self.sites = {spot.site for b in self.bound for value in b.senders for spot in value_spots(value, shape)}
        wanted = {START, FINAL, *self.sites}
        self.reads = {side: model.run(batch.ids(side), reads=wanted, unembed=False).reads for side in batch.sides}
        with torch.no_grad():
            self.readings = Readings(model.lean, batch, metrics, {s: r[FINAL] for s, r in self.reads.items()})
        self.estimates = torch.zeros(len(metrics), len(items), len(batch.rows), dtype=torch.float64)
        self._all = torch.arange(len(batch.rows), device=batch.clean.device)

    @torch.no_grad()
    def unpatched(self, base: BaseRun) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Every metric in the base run and in the other run (None without one). [metrics, pairs]"""
        other = self.readings.other(base)
        return self.readings.unpatched(base).cpu().numpy(), None if other is None else other.cpu().numpy()

    def values(self, base: BaseRun, draw: int) -> SourceValues:
        """What sources put at sites, in a draw."""
        return lambda source: values_of(source, self.reads, self._reference, self.batch, base, draw)

    def slopes(
        self, base: BaseRun, bound: Sequence[Bound], *, entering: Tensor | None = None,
        writes: Mapping[Site, Write] | None = None,
    ) -> Slopes:  # fmt: skip
        """A run of the base with gradients wherever these experiments need them."""
        receivers = [term.receiver for b in bound for term in b.terms]
        sites = gradient_sites(receivers, self.model)
        spots = [spot for b in bound for value in b.nodes for spot in value_spots(value, self.model.shape)]
        sites |= {Site(SiteKind.Z, spot.site.layer) if spot.view is not None else spot.site for spot in spots}
        views = {
            Site(k, s.site.layer) for s in spots if s.view is not None for k in (SiteKind.Q, SiteKind.K, SiteKind.V)
        }
        reads = {*stream_sites(self.model), *value_sites(receivers, self.model), *views}
        measure = partial(self._metrics, base)
        ids = self.batch.ids(base)
        return slopes(self.model, ids, sites, measure, reads=reads, entering=entering, writes=writes)

    def _metrics(self, base: BaseRun, final: Tensor) -> Tensor:
        """[metrics, pairs]"""
        return self.readings.measure(self.readings.at_read(final)[:, None], self._all, base)[:, 0]

    # Products ---------------------------------------------------------------------------------

    def add(
        self, run: Slopes, bound: Sequence[Bound], weight: float = 1.0, *, moved: Mapping[int, Tensor] | None = None
    ) -> None:
        """Add to the estimates of some experiments what the gradients of a run give, `weight` times.

        Args:
            moved: streams that receivers read at instead of the run's, by point.
        """
        base = bound[0].item.experiment.base
        deltas = Deltas(self.model, self.batch, self.reads, base)
        pulls = [Pulls(self.model, run.values, gradient, moved or {}) for gradient in run.gradients]
        self._add_edges(pulls, deltas, bound, weight)
        for b in bound:
            for value in b.nodes:
                self._add_node(pulls, b, value, weight)

    def _add_edges(self, pulls: Sequence[Pulls], deltas: Deltas, bound: Sequence[Bound], weight: float) -> None:
        groups: dict[tuple[bool, int, object], list[tuple[Bound, Term]]] = {}
        for b in bound:
            for term in b.terms:
                node = term.receiver.node
                kind = Head if isinstance(node, Head | KVHead | Attention) else type(node)
                key = (term.through, self.model.shape.read_at(node), kind)
                groups.setdefault(key, []).append((b, term))
        kept: dict[Drawn, dict[int, Tensor]] = {}
        for (through, _point, _kind), some in groups.items():
            receivers = list(dict.fromkeys(term.receiver for _, term in some))
            with fitting_threads(self.model.shape):
                pulled = [pull.pull([address.at(None) for address in receivers], through) for pull in pulls]
            for chunk in self._chunks(some, deltas, kept):
                points = {point for _, _, change in chunk for point in change} if through else {None}
                for point in points:
                    self._multiply(pulled, receivers, chunk, point, weight)

    def _chunks(
        self, some: Sequence[tuple[Bound, Term]], deltas: Deltas,
        kept: dict[Drawn, dict[int, Tensor]],
    ) -> Iterator[list[Chunked]]:  # fmt: skip
        """Terms with the changes of their senders, so many at once that these fit."""
        by_sender: dict[Drawn, list[tuple[Bound, Term]]] = {}
        for b, term in some:
            by_sender.setdefault((term.senders, b.item.draw), []).append((b, term))
        size = self.reads[some[0][0].item.experiment.base][START].numel()
        most = max(1, FLOATS // size)
        senders = list(by_sender)
        for start in range(0, len(senders), most):
            chunk: list[Chunked] = []
            for key in senders[start : start + most]:
                if key not in kept:
                    while len(kept) >= most:
                        kept.pop(next(iter(kept)))
                    values = self.values(by_sender[key][0][0].item.experiment.base, key[1])
                    kept[key] = deltas.stream(key[0], values)
                change = kept[key]
                chunk += [(b, term, change) for b, term in by_sender[key]]
            yield chunk

    def _multiply(
        self, pulled: Sequence[Pulled], receivers: Sequence[Address], chunk: Sequence[Chunked], point: int | None,
        weight: float,
    ) -> None:  # fmt: skip
        """Meet changes with gradients: those that land at a point, or all of them where nothing is on the way."""
        changes: dict[int, Tensor] = {}
        rows: list[int] = []
        at: list[int] = []
        to: list[int] = []
        index = {address: i for i, address in enumerate(receivers)}
        places: dict[int, int] = {}
        for b, term, change in chunk:
            if point is not None and point not in change:
                continue
            if id(change) not in places:
                places[id(change)] = len(places)
                changes[places[id(change)]] = together(change) if point is None else change[point]
            rows.append(b.row)
            at.append(places[id(change)])
            to.append(index[term.receiver])
        if not rows:
            return
        left = torch.stack(list(changes.values())).flatten(2).transpose(0, 1)  # [pairs, senders, pos · d_model]
        for m, each in enumerate(pulled):
            gradients = each.here if point is None else each.at(point)
            right = torch.stack([self._masked(g, address) for g, address in zip(gradients, receivers, strict=True)])
            products = torch.bmm(left, right.flatten(2).permute(1, 2, 0)).double()
            found = products[:, at, to].T.cpu()
            self.estimates[m].index_add_(0, torch.tensor(rows), weight * found)

    def _masked(self, gradient: Tensor, address: Address) -> Tensor:
        where = self.batch.mask(address.position)
        return gradient if where is None else torch.where(where[..., None], gradient, 0)

    def _add_node(self, pulls: Sequence[Pulls], b: Bound, value: Value, weight: float) -> None:
        base = b.item.experiment.base
        where = self.batch.mask(value.address.position, value.kept)
        for spot in value_spots(value, self.model.shape):
            new = self.values(base, b.item.draw)(value.source)(spot.site, value.address.position)
            change = spot.of(new) - spot.of(self.reads[base][spot.site])
            if where is not None:
                heads = spot.site.kind is SiteKind.PATTERN and spot.index is None
                mask = where[:, None] if heads else where
                change = torch.where(mask.reshape(*mask.shape, *[1] * (change.dim() - mask.dim())), change, 0)
            for m, pull in enumerate(pulls):
                product = (change.double() * pull.at_spot(spot).double()).flatten(1).sum(dim=1)
                self.estimates[m, b.row] += weight * product.cpu()

    def edits_of(self, b: Bound) -> dict[Site, list[Edit]]:
        """What an experiment puts where, by site."""
        base = b.item.experiment.base
        deltas = Deltas(self.model, self.batch, self.reads, base)
        return deltas.edits(b.senders, self.values(base, b.item.draw))


def together(changes: Mapping[int, Tensor]) -> Tensor:
    """All changes together, wherever they land."""
    first, *others = changes.values()
    for other in others:
        first = first + other
    return first
