"""Estimates of many experiments on one batch of prompts: changes of outputs times gradients at inputs.

    estimate = Σ over receivers, tokens   Δ(senders) · ∂metric/∂(the stream that the receiver reads)

The gradients are those of the base run, or averaged over runs on the way from the base to the source: see `paths`.
Senders and receivers of one layer meet in one product; only they are held at once, never edges × tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from circuitgraph.execute.gradient.changes import Asked, Changes, Drawn
from circuitgraph.execute.gradient.deltas import Deltas
from circuitgraph.execute.gradient.pulls import Pulled, Pulls, gradient_sites, stream_sites, value_sites
from circuitgraph.execute.references import Reference, Values
from circuitgraph.execute.spots import value_spots
from circuitgraph.execute.values import values_of
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.models.slopes import FINAL, START, Slopes, slopes
from circuitgraph.models.threads import fitting_threads
from circuitgraph.nodes import MLP, Address, Feature, Input, Logits, Neuron, Residual, SaeError
from circuitgraph.plans.estimates import held, terms_of, values_of_node
from circuitgraph.plans.types import Recorded, Source, Value
from circuitgraph.spec.model import BaseRun

FLOATS = 2**26
"""Numbers of senders' changes that are held at once."""

_OTHERS = (Input, MLP, Neuron, Residual, Logits, Feature, SaeError)

SourceValues = Callable[[Source], Values]


@dataclass(frozen=True, eq=False)
class Bound:
    """An experiment in one draw: its row among the estimates, and what it multiplies."""

    row: int
    item: Item
    asked: tuple[Asked, ...]
    nodes: tuple[Value, ...]
    held: tuple[Value | Recorded, ...]
    senders: tuple[Value, ...]
    """Everything whose output is replaced."""


class Estimator:
    """Estimates on one batch."""

    def __init__(
        self, model: TransformerModel, batch: Batch, metrics: Sequence[BoundMetric], items: Sequence[Item],
        reference: Reference | None, *, at_base: bool = False,
    ) -> None:  # fmt: skip
        """Run the sides of the batch once, and keep what the experiments replace.

        Args:
            at_base: gradients are taken in the base run alone, which is then not run beforehand, if there is one.
        """
        self.model = model
        self.batch = batch
        self._reference = reference
        self._metrics = tuple(metrics)
        self._senders: dict[Drawn, int] = {}
        self._receivers: dict[Address, int] = {}
        self.bound = tuple(self._bind(i, item) for i, item in enumerate(items))
        self.drawn = tuple(self._senders)
        self.receivers = tuple(self._receivers)
        values = {value for senders, _ in self.drawn for value in senders} | {v for b in self.bound for v in b.nodes}
        self._kept = {START, FINAL} | {spot.site for value in values for spot in value_spots(value, model.shape)}
        bases = {item.experiment.base for item in items}
        later = bases if at_base and len(bases) == 1 else set()
        self.reads = {side: self._run(side) for side in batch.sides if side not in later}
        self._readings: Readings | None = None
        self.estimates = torch.zeros(len(metrics), len(items), len(batch.rows), dtype=torch.float64)
        self._all = torch.arange(len(batch.rows), device=batch.clean.device)

    def _bind(self, row: int, item: Item) -> Bound:
        terms, nodes = terms_of(item.experiment), values_of_node(item.experiment)
        asked = tuple(
            Asked(
                row,
                self._senders.setdefault((term.senders, item.draw), len(self._senders)),
                self._receivers.setdefault(term.receiver, len(self._receivers)),
                term.through,
            )
            for term in terms
        )
        senders = terms[0].senders if len(terms) == 1 else tuple(dict.fromkeys(v for t in terms for v in t.senders))
        return Bound(row, item, asked, nodes, held(item.experiment, self.model.shape), (*nodes, *senders))

    def _run(self, side: BaseRun) -> Mapping[Site, Tensor]:
        return self.model.run(self.batch.ids(side), reads=self._kept, unembed=False).reads

    @property
    def readings(self) -> Readings:
        """The metrics of the batch; once all sides have been run."""
        if self._readings is None:
            finals = {side: reads[FINAL] for side, reads in self.reads.items()}
            with torch.no_grad():
                self._readings = Readings(self.model.lean, self.batch, self._metrics, finals)
        return self._readings

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
        receivers = [self.receivers[i] for i in {asked.receiver for b in bound for asked in b.asked}]
        sites = gradient_sites(receivers, self.model)
        spots = [spot for b in bound for value in b.nodes for spot in value_spots(value, self.model.shape)]
        sites |= {Site(SiteKind.Z, spot.site.layer) if spot.view is not None else spot.site for spot in spots}
        views = {
            Site(k, s.site.layer) for s in spots if s.view is not None for k in (SiteKind.Q, SiteKind.K, SiteKind.V)
        }
        reads = {*stream_sites(self.model), *value_sites(receivers, self.model), *views}
        if base not in self.reads:
            reads |= {site for site in self._kept if site.kind is not SiteKind.RESID_MID}
        measure = partial(self._measured, base)
        ids = self.batch.ids(base)
        run = slopes(self.model, ids, sites, measure, reads=reads, entering=entering, writes=writes)
        if base not in self.reads:
            pulls = Pulls(self.model, run.values, {}, {})
            mids = [site for site in self._kept if site.kind is SiteKind.RESID_MID]
            self.reads[base] = {**run.values, **{site: pulls.stream(2 * site.layer + 1) for site in mids}}
        return run

    def _measured(self, base: BaseRun, final: Tensor) -> Tensor:
        """[metrics, pairs]"""
        if base not in self.reads:
            finals = {side: reads[FINAL] for side, reads in self.reads.items()} | {base: final.detach()}
            with torch.no_grad():
                self._readings = Readings(self.model.lean, self.batch, self._metrics, finals)
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
        base, shape = bound[0].item.experiment.base, self.model.shape
        groups: dict[tuple[bool, int], list[Asked]] = {}
        kinds = [self._group(address) for address in self.receivers]
        for b in bound:
            for asked in b.asked:
                groups.setdefault((asked.through, kinds[asked.receiver]), []).append(asked)
        # Those that write first come first: what one layer reads is then mostly the beginning of one tensor.
        points = [max(shape.written_at(v.address.node) for v in senders) for senders, _ in self.drawn]
        ordered = sorted({asked.sender for some in groups.values() for asked in some}, key=points.__getitem__)
        most = max(1, FLOATS // self.reads[base][START].numel())
        for start in range(0, len(ordered), most):
            some = [(i, *self.drawn[i]) for i in ordered[start : start + most]]
            changes = Changes({i: deltas.stream(senders, self.values(base, draw)) for i, senders, draw in some})
            for (through, _kind), members in groups.items():
                here = [asked for asked in members if asked.sender in changes.places]
                if not here:
                    continue
                receivers = sorted({asked.receiver for asked in here})
                with fitting_threads(shape):
                    pulled = [pull.pull([self.receivers[i].at(None) for i in receivers], through) for pull in pulls]
                for point in changes.points if through else (None,):
                    self._multiply(pulled, receivers, here, changes, point, weight)

    def _group(self, address: Address) -> int:
        """A number that receivers share which are pulled back together: a layer's heads, an MLP, …"""
        kind = 1 + next((i for i, other in enumerate(_OTHERS) if isinstance(address.node, other)), -1)
        return kind + 2 * len(_OTHERS) * self.model.shape.read_at(address.node)

    def _multiply(
        self, pulled: Sequence[Pulled], receivers: Sequence[int], asked: Sequence[Asked], changes: Changes,
        point: int | None, weight: float,
    ) -> None:  # fmt: skip
        """Meet changes with gradients: those that land at a point, or all of them where nothing is on the way."""
        left, places = changes.landing(point, {each.sender for each in asked})
        some = [each for each in asked if each.sender in places]
        if not some:
            return
        index = {receiver: i for i, receiver in enumerate(receivers)}
        at, to = [places[e.sender] for e in some], [index[e.receiver] for e in some]
        rows = torch.tensor([each.row for each in some])
        addresses = [self.receivers[i] for i in receivers]
        for m, each in enumerate(pulled):
            gradients = self._masked(each.here if point is None else each.at(point), addresses)
            products = torch.bmm(left, gradients.flatten(2).permute(1, 2, 0)).double()
            self.estimates[m].index_add_(0, rows, weight * products[:, at, to].T.cpu())

    def _masked(self, gradients: Tensor, addresses: Sequence[Address]) -> Tensor:
        """Gradients at the receivers' own positions, 0 elsewhere."""
        masks = [self.batch.mask(address.position) for address in addresses]
        if all(mask is None for mask in masks):
            return gradients
        everywhere = torch.ones_like(self.batch.clean, dtype=torch.bool)
        where = torch.stack([everywhere if mask is None else mask for mask in masks])
        return torch.where(where[..., None], gradients, 0)

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
