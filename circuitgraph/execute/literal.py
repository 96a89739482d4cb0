"""The literal executor: the three stages exactly as they are defined, one experiment at a time.

Slow and obvious, with hooks on whole forward passes; the oracle for anything faster. Per experiment:

    cache      base run and other run, shared by the experiments of a batch
    isolate    base run with every head and MLP frozen at its base value, but the sender at its source
               value; `through-mlps` leaves the MLPs unfrozen; record the receiver's input
    propagate  base run with the receiver's input set to what was recorded, everything after it free
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from circuitgraph.errors import RefusedError
from circuitgraph.execute.bind import Batch, BoundMetric
from circuitgraph.execute.edits import Edit, Release, both, of_site, write_of
from circuitgraph.execute.references import Reference, Values
from circuitgraph.execute.spots import Spot, input_spots, layer_after, output_spot, value_spots
from circuitgraph.execute.swaps import swap_writes
from circuitgraph.execute.values import other_side, values_of
from circuitgraph.graph.shape import ModelShape
from circuitgraph.metrics.readout import Readout
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind, sites_of
from circuitgraph.nodes import Address, Feature, Neuron, Residual, SaeError
from circuitgraph.plans.types import (
    Experiment,
    Free,
    Isolate,
    Recorded,
    Source,
    Swap,
    Value,
)
from circuitgraph.spec.model import BaseRun

OWN_OUTPUTS = (Neuron, Residual, Feature, SaeError)
"""Nodes whose input is read where their output is written."""


def refuses(experiment: Experiment) -> str | None:
    """Why this executor cannot run an experiment; None if it can."""
    for isolation in experiment.isolations:
        written, recorded = ({a.node for a in side} for side in (_written(isolation), isolation.record))
        for node in written & recorded:
            if isinstance(node, OWN_OUTPUTS):
                return (
                    f"{node} is both a joined sender and a joined receiver, and its input is read where it is written"
                )
    return None


def _written(isolation: Isolate) -> tuple[Address, ...]:
    return tuple(write.address for write in isolation.writes)


def refuse_all(experiments: Sequence[Experiment]) -> None:
    """Raise for everything that cannot be run, before anything is.

    Raises:
        RefusedError: names each experiment with its reason.
    """
    reasons = [f"'{e.label}': {reason}" for e in experiments if (reason := refuses(e)) is not None]
    if reasons:
        raise RefusedError("\n".join(reasons))


@dataclass(frozen=True)
class Caches:
    """Stage 1: activations per side, and the logits where each metric reads, float64 [pairs, vocab]."""

    reads: Mapping[BaseRun, Mapping[Site, Tensor]]
    logits: Mapping[tuple[BaseRun, int], Tensor]


def cached_sites(experiments: Iterable[Experiment], shape: ModelShape) -> frozenset[Site]:
    """The sites of the unpatched runs that experiments read: what is frozen, and where values of a source are put."""
    found: set[Site] = set()
    for experiment in experiments:
        if experiment.isolations:
            found.update(sites_of(shape, (SiteKind.Z, SiteKind.MLP_OUT)))
        for write in experiment.writes:
            found.update(spot.site for spot in _read_spots(write, shape))
    return frozenset(found)


def _read_spots(write: Value | Recorded | Swap, shape: ModelShape) -> tuple[Spot, ...]:
    match write:
        case Value():
            return value_spots(write, shape)
        case Recorded(address):
            return input_spots(address, shape) if isinstance(address.node, Neuron) else ()
        case Swap(senders):
            return tuple(output_spot(sender, shape) for sender in senders)


def _every_site(shape: ModelShape) -> tuple[Site, ...]:
    return tuple(sites_of(shape, tuple(kind for kind in SiteKind if kind not in (SiteKind.PATTERN, SiteKind.ATTN_OUT))))


class LiteralExecutor:
    """Runs experiments one at a time on one batch of prompts."""

    def __init__(
        self,
        model: TransformerModel,
        batch: Batch,
        metrics: Sequence[BoundMetric],
        *,
        reference: Reference | None = None,
        sites: Collection[Site] | None = None,
    ) -> None:
        """Cache the runs of a batch.

        Args:
            reference: the reference set of `mean` and `resample`.
            sites: what is kept of them: the `cached_sites` of the experiments that follow; None = all but the
                attention weights.
        """
        self.model = model
        self.batch = batch
        self.metrics = metrics
        self._reference = reference
        self._caches = self._cache(_every_site(model.shape) if sites is None else sites)

    # Stage 1 ----------------------------------------------------------------------------------

    def _cache(self, sites: Collection[Site]) -> Caches:
        reads, logits = {}, {}
        for side in self.batch.sides:
            run = self.model.run(self.batch.ids(side), reads=sites)
            reads[side] = run.reads
            logits |= {(side, i): x for i, x in enumerate(self._metric_logits(run.logits))}
        return Caches(reads, logits)

    @property
    def largest_logit(self) -> float:
        """By size, of the unpatched runs where metrics read."""
        return max(float(logits.abs().max()) for logits in self._caches.logits.values())

    def _metric_logits(self, logits: Tensor | None) -> list[Tensor]:
        """Logits where each metric reads. float64 [pairs, vocab] per metric"""
        if logits is None:
            raise RefusedError("the run stopped before the logits")
        rows = torch.arange(logits.shape[0], device=logits.device)
        return [logits[rows, self.batch.where[metric.position]].double() for metric in self.metrics]

    def unpatched(self, base: BaseRun) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Per metric: its value in the base run and in the other run (None without one). [pairs]"""
        other = other_side(base)
        for i, metric in enumerate(self.metrics):
            value = metric.measure(self._readout(i, base, self._caches.logits[base, i]))
            there = self._caches.logits.get((other, i))
            yield value, None if there is None else metric.measure(self._readout(i, base, there))

    def patched(self, experiment: Experiment, draw: int = 0) -> Iterator[Tensor]:
        """Per metric: its value in the patched run, of draw number `draw` where values are resampled. [pairs]"""
        values = partial(self._values, experiment.base, draw)
        recorded: list[Mapping[Spot, Tensor]] = []
        for isolation in experiment.isolations:
            recorded.append(self._isolate(isolation, experiment.base, values, recorded))
        logits = self._metric_logits(self._propagate(experiment, values, recorded))
        for i, metric in enumerate(self.metrics):
            yield metric.measure(self._readout(i, experiment.base, logits[i]))

    def _readout(self, metric: int, base: BaseRun, logits: Tensor) -> Readout:
        cached = self._caches.logits
        return Readout(
            logits=logits,
            answers=self.batch.answers,
            wrong=self.batch.wrong,
            base=cached[base, metric],
            clean=cached[BaseRun.CLEAN, metric],
            corrupted=cached.get((BaseRun.CORRUPTED, metric)),
        )

    # Stage 2 ----------------------------------------------------------------------------------

    def _isolate(
        self,
        isolation: Isolate,
        base: BaseRun,
        values: Callable[[Source], Values],
        recorded: Sequence[Mapping[Spot, Tensor]],
    ) -> Mapping[Spot, Tensor]:
        """The inputs of the recorded nodes when only the written nodes differ from the base run."""
        edits = self._edits(isolation.writes, values, recorded)
        frozen = self._frozen(base, isolation.free)
        released = self._released(isolation, base, frozen)
        if isolation.free is Free.NONE:
            edits = self._held_neurons(base, edits, frozen)
        sites = {*frozen, *(edit.spot.site for edit in edits)}
        writes = {site: write_of(frozen.get(site), of_site(released, site), of_site(edits, site)) for site in sites}
        spots = tuple(spot for address in isolation.record for spot in input_spots(address, self.model.shape))
        stop = layer_after(spots, self.model.shape)
        if stop is not None:
            writes = {site: write for site, write in writes.items() if site.layer <= stop}
        run = self.model.run(self.batch.ids(base), reads=[s.site for s in spots], writes=writes, stop_after=stop)
        return {spot: run.reads[spot.site] for spot in spots}

    def _released(self, isolation: Isolate, base: BaseRun, frozen: dict[Site, Tensor]) -> list[Release]:
        """What the nodes do whose inputs an earlier isolation recorded: their outputs follow, others stay frozen.

        Neurons, residual streams and their parts are their own outputs, and are written.
        """
        found = []
        for address in (w.address for w in isolation.writes if isinstance(w, Recorded)):
            if isinstance(address.node, OWN_OUTPUTS):
                continue
            spot = output_spot(address, self.model.shape)
            if spot.site not in frozen and address.output is not None:
                frozen[spot.site] = self._caches.reads[base][spot.site]  # free, but only at its output position
            if spot.site in frozen:
                found.append(Release(spot, self.batch.mask(address.output)))
        return found

    def _frozen(self, base: BaseRun, free: Free) -> dict[Site, Tensor]:
        """The sites held at their base values: all heads and, unless they are free, all MLPs."""
        kinds = (SiteKind.Z,) if free is Free.MLPS else (SiteKind.Z, SiteKind.MLP_OUT)
        return {site: self._caches.reads[base][site] for site in sites_of(self.model.shape, kinds)}

    def _held_neurons(self, base: BaseRun, edits: Sequence[Edit], frozen: dict[Site, Tensor]) -> list[Edit]:
        """Move edits of single neurons into the frozen output of their MLP; the other edits are returned.

        The neurons themselves stay free: other neurons of the layer may be recorded as receivers.
        """
        reads = self._caches.reads[base]
        for site in {edit.spot.site for edit in edits if edit.spot.site.kind is SiteKind.NEURONS}:
            new = reads[site]
            for edit in edits:
                new = edit(new) if edit.spot.site == site else new
            change = self.model.write(site, new) - self.model.write(site, reads[site])
            out = Site(SiteKind.MLP_OUT, site.layer)
            frozen[out] = frozen[out] + change
        return [edit for edit in edits if edit.spot.site.kind is not SiteKind.NEURONS]

    # Stage 3 ----------------------------------------------------------------------------------

    def _propagate(
        self,
        experiment: Experiment,
        values: Callable[[Source], Values],
        recorded: Sequence[Mapping[Spot, Tensor]],
    ) -> Tensor | None:
        """Logits of the base run with the propagated writes and everything after them free."""
        ids = self.batch.ids(experiment.base)
        plain = tuple(w for w in experiment.propagate.writes if not isinstance(w, Swap))
        edits = self._edits(plain, values, recorded)
        swaps = tuple(w for w in experiment.propagate.writes if isinstance(w, Swap))
        views = sorted({(e.spot.site.layer, e.spot.view) for e in edits if e.spot.view is not None})
        views += [view for view in _swapped_views(swaps, self.model) if view not in views]
        # A query head's own view of shared keys and values: its siblings must keep the current ones. So
        # its z is taken from a run of its own, lower layers first, and put into the run that goes on.
        held: list[Edit] = []
        for layer, head in sorted(views):
            writes = self._stage_writes(edits, swaps, values, held, only=(layer, head))
            writes = {site: write for site, write in writes.items() if 0 <= site.layer <= layer}
            run = self.model.run(ids, reads=[Site(SiteKind.Z, layer)], writes=writes, stop_after=layer)
            held.append(Edit(Spot(Site(SiteKind.Z, layer), head), run.reads[Site(SiteKind.Z, layer)], None))
        return self.model.run(ids, writes=self._stage_writes(edits, swaps, values, held, only=None)).logits

    def _stage_writes(
        self,
        edits: Sequence[Edit],
        swaps: Sequence[Swap],
        values: Callable[[Source], Values],
        held: Sequence[Edit],
        only: tuple[int, int] | None,
    ) -> dict[Site, Write]:
        """The writes of one run of stage 3; of the per-query-head views, only those of the head `only`."""

        def wanted(spot: Spot) -> bool:
            return spot.view is None or (spot.site.layer, spot.view) == only

        chosen = [edit for edit in edits if wanted(edit.spot)] + list(held)
        writes = {edit.spot.site: write_of(None, (), of_site(chosen, edit.spot.site)) for edit in chosen}
        if not swaps:
            return writes
        return swap_writes(self.model, self.batch, swaps, values, wanted, writes)

    # Values -----------------------------------------------------------------------------------

    def _edits(
        self,
        writes: Sequence[Value | Recorded],
        values: Callable[[Source], Values],
        recorded: Sequence[Mapping[Spot, Tensor]],
    ) -> list[Edit]:
        """What the writes put where."""
        edits = []
        for write in writes:
            position = write.address.position
            match write:
                case Value(_, source, kept):
                    where = self.batch.mask(position, kept)
                    spots = value_spots(write, self.model.shape)
                    edits += [Edit(spot, values(source)(spot.site, position), where) for spot in spots]
                case Recorded(address, isolation):
                    where = self.batch.mask(position)
                    if isinstance(address.node, OWN_OUTPUTS):
                        where = both(where, self.batch.mask(address.output))
                    spots = input_spots(address, self.model.shape)
                    edits += [Edit(spot, recorded[isolation][spot], where) for spot in spots]
        return edits

    def _values(self, base: BaseRun, draw: int, source: Source) -> Values:
        """The values that a source puts at each site."""
        return values_of(source, self._caches.reads, self._reference, self.batch, base, draw)


def _swapped_views(swaps: Sequence[Swap], model: TransformerModel) -> list[tuple[int, int]]:
    spots = [spot for swap in swaps for spot in input_spots(swap.port, model.shape)]
    return sorted({(spot.site.layer, spot.view) for spot in spots if spot.view is not None})
