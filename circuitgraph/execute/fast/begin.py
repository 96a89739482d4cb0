"""What each experiment changes first: stages 1 and 2 of many experiments of one batch and one base run.

Experiments that isolate the same senders share their stream, and its inputs at a layer: norm and projection are taken
once for all heads and receivers of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.execute.edits import Edit, both
from circuitgraph.execute.fast.change import Change, rows_of, split_rows
from circuitgraph.execute.fast.kept import Kept
from circuitgraph.execute.fast.mixing import mixed_again
from circuitgraph.execute.fast.puts import Put, put_of
from circuitgraph.execute.fast.streams import ROWS, Stream, Streams
from circuitgraph.execute.references import Reference, Values
from circuitgraph.execute.spots import Spot, input_spots, value_spots
from circuitgraph.execute.values import Reads, values_of
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import MLP, Address, Head, Logits, Neuron, Residual
from circuitgraph.plans.routes import Kind, start_of
from circuitgraph.plans.types import Experiment, Free, Recorded, Resample, Source, Value, Write
from circuitgraph.spec.model import BaseRun


class Item(NamedTuple):
    """An experiment in one of its draws."""

    experiment: Experiment
    draw: int


class Wanted(NamedTuple):
    """An activation that a stream leads to: Q, K, V, NEURONS or MLP_OUT of a layer."""

    stream: Stream
    site: Site


class Sources:
    """The values that sources put at sites of one batch and one base run, each computed once."""

    def __init__(self, reads: Reads, reference: Reference | None, batch: Batch, base: BaseRun) -> None:
        self._of = partial(values_of, reads=reads, reference=reference, batch=batch, base=base)
        self._known: dict[tuple[Source, int], Values] = {}

    def values(self, source: Source, draw: int) -> Values:
        """What a source puts at sites, in a draw."""
        key = (source, draw if isinstance(source, Resample) else 0)
        if key not in self._known:
            self._known[key] = cache(self._of(source, draw=draw))
        return self._known[key]


class Beginnings:
    """Says of each item what it changes first. `prepare` all items together: what they share is computed once."""

    def __init__(self, model: TransformerModel, batch: Batch, kept: Kept, sources: Sources) -> None:
        self._model = model
        self._batch = batch
        self._kept = kept
        self._sources = sources
        self._streams = Streams(model, batch, kept)
        self._known: dict[Hashable, Stream] = {}
        self._read: dict[Wanted, Tensor | Change] = {}

    def prepare(self, items: Sequence[Item]) -> None:
        """Follow every stream that the items need, hop by hop, and read what it leads to."""
        starts = [(item, start_of(item.experiment, self._model.shape)) for item in items]
        landing = [pair for pair in starts if pair[1].kind is Kind.LANDED and self._lands_by_value(pair[0])]
        self._streams.follow({self._replaced(item): start.point for item, start in landing})
        for hop in range(max((len(item.experiment.isolations) for item in items), default=0)):
            points: dict[Stream, int] = {}
            wanted: dict[Wanted, None] = {}
            for item in items:
                if hop < len(item.experiment.isolations):
                    stream = self._isolated(item, hop)
                    for address in item.experiment.isolations[hop].record:
                        points[stream] = max(points.get(stream, 0), self._model.shape.read_at(address.node))
                        wanted.update((Wanted(stream, site), None) for site in self._sites(address))
            self._streams.follow(points)
            self._read_all(wanted)

    def landed(self, item: Item, point: int) -> Change:
        """The change of the stream at the point where it begins."""
        if self._lands_by_value(item):
            return self._replaced(item).at(point)
        total = self._streams.nothing
        neurons: list[Edit] = []
        for write in item.experiment.propagate.writes:
            match write:
                case Recorded(address, isolation):
                    stream = self._isolated(item, isolation)
                    if isinstance(address.node, Neuron):
                        neurons.append(self._neuron(address, stream))
                    else:
                        total = total + self._answer(address, stream)
                case Value():
                    raise ValueError("outputs and inputs that are written together do not land at one point")
        return total + self._streams.rewritten_neurons(neurons) if neurons else total

    def inputs(self, item: Item) -> dict[SiteKind, Put]:
        """What one head reads, by port, where it differs from the base run."""
        return {put.spot.site.kind: put for put in self._puts(item, item.experiment.propagate.writes[0])}

    def puts(self, item: Item) -> list[Put]:
        """Everything that is written in the run of stage 3, in order, also where it is as in the base run."""
        found: list[Put] = []
        for write in item.experiment.propagate.writes:
            puts = self._puts(item, write)
            if isinstance(write, Recorded):
                where = self._asked(write.address)
                puts = [put.everywhere(self._kept[put.spot.site], where) for put in puts]
            found += puts
        return found

    # Streams ------------------------------------------------------------------------------------

    @staticmethod
    def _lands_by_value(item: Item) -> bool:
        return all(isinstance(write, Value) for write in item.experiment.propagate.writes)

    def _replaced(self, item: Item) -> Stream:
        """The stream in which the item's nodes have their source values."""
        return self._stream_of(item, item.experiment.propagate.writes, Free.NONE, None)

    def _isolated(self, item: Item, hop: int) -> Stream:
        """The stream of an isolation."""
        isolation = item.experiment.isolations[hop]
        return self._stream_of(item, isolation.writes, isolation.free, hop)

    def _stream_of(self, item: Item, writes: Sequence[Write], free: Free, hop: int | None) -> Stream:
        before = item.experiment.isolations[:hop] if hop else ()
        drawn = any(isinstance(source, Resample) for source in item.experiment.sources)
        key = (writes, free, before, item.draw if drawn else 0)
        if key not in self._known:
            values = [write for write in writes if isinstance(write, Value)]
            stream = self._streams.of_values(values, free, partial(self._sources.values, draw=item.draw))
            for write in writes:
                if isinstance(write, Recorded):
                    self._land(stream, write.address, self._isolated(item, write.isolation))
            self._known[key] = stream
        return self._known[key]

    def _land(self, stream: Stream, address: Address, before: Stream) -> None:
        """Let the answer of a node to what an earlier stream leads to begin a stream."""
        node, shape = address.node, self._model.shape
        output = self._streams.cut(self._batch.mask(address.output))
        match node:
            case Head(layer, index):
                inputs = {put.spot.site.kind: put for put in self._recorded(address, before)}
                change = Change(0, mixed_again(self._model, self._kept, layer, [index], [inputs], 0)[:, 0])
            case Neuron():
                change = self._streams.rewritten_neurons([self._neuron(address, before)])
            case _:
                change = self._answer(address, before)
        stream.land(shape.written_at(node), change.trimmed().at(output))

    # What streams lead to -----------------------------------------------------------------------

    def _sites(self, address: Address) -> list[Site]:
        """What has to be computed of a receiver."""
        node = address.node
        match node:
            case Residual() | Logits():
                return []
            case MLP(layer):
                return [Site(SiteKind.MLP_OUT, layer)]
            case _:
                return [spot.site for spot in input_spots(address, self._model.shape)]

    def _read_all(self, wanted: Iterable[Wanted]) -> None:
        missing = [each for each in wanted if each not in self._read and self._change(each)]
        by_layer: dict[tuple[int, str], list[Stream]] = {}
        ports: dict[tuple[int, Stream], list[str]] = {}
        for stream, site in missing:
            if site.kind in (SiteKind.MLP_OUT, SiteKind.NEURONS):
                by_layer.setdefault((site.layer, site.kind.value), []).append(stream)
            else:
                ports.setdefault((site.layer, stream), []).append(site.kind.value)
        for (layer, stream), names in ports.items():
            by_layer.setdefault((layer, "".join(sorted(set(names)))), []).append(stream)
        for (layer, what), streams in by_layer.items():
            self._read_layer(layer, what, streams)

    def _read_layer(self, layer: int, what: str, streams: Sequence[Stream]) -> None:
        """Compute one kind of activation of a layer for all streams in one product."""
        lean, shape = self._model.lean, self._model.shape
        point = 2 * layer if what in _PORT_SETS else shape.read_at(MLP(layer))
        changes = [stream.at(point) for stream in streams]
        if what == SiteKind.MLP_OUT:
            found = self._streams.outputs(lean.mlps[layer], changes, layer, point)
            self._read.update(
                {Wanted(s, Site(SiteKind.MLP_OUT, layer)): c for s, c in zip(streams, found, strict=True)}
            )
            return
        rows = rows_of(changes, self._kept.stream(point)).split(ROWS)
        if what == SiteKind.NEURONS:
            mlp = lean.mlps[layer]
            computed = {what: torch.cat([mlp.neurons(mlp.norm(some)) for some in rows])}
        else:
            parts = [lean.attention[layer].ports(some, what) for some in rows]
            computed = {name: torch.cat([part[name] for part in parts]) for name in what}
        for name, values in computed.items():
            pairs = zip(streams, split_rows(values, changes), strict=True)
            self._read.update({Wanted(stream, Site(SiteKind(name), layer)): value for stream, value in pairs})

    def _change(self, wanted: Wanted) -> Change:
        """The change of the stream that an activation is computed from."""
        site = wanted.site
        mlp = site.kind in (SiteKind.MLP_OUT, SiteKind.NEURONS)
        return wanted.stream.at(self._model.shape.read_at(MLP(site.layer)) if mlp else 2 * site.layer)

    def _asked(self, address: Address) -> Tensor | None:
        """Where a node's input is written; a neuron and a stream are their own outputs, which may be cut further."""
        where = self._where(address)
        if not isinstance(address.node, Neuron | Residual):
            return where
        return both(where, self._streams.cut(self._batch.mask(address.output)))

    def _where(self, address: Address) -> Tensor | None:
        return self._streams.cut(self._batch.mask(address.position))

    def _answer(self, address: Address, stream: Stream) -> Change:
        """How the stream changes after an MLP, or the stream itself, was set to what was recorded."""
        node = address.node
        if isinstance(node, MLP):
            found = self._read.get(Wanted(stream, Site(SiteKind.MLP_OUT, node.layer)), self._streams.nothing)
            return found.at(self._where(address)) if isinstance(found, Change) else self._streams.nothing
        return stream.at(self._model.shape.read_at(node)).at(self._asked(address))

    def _neuron(self, address: Address, stream: Stream) -> Edit:
        """A neuron set to what was recorded."""
        (spot,) = input_spots(address, self._model.shape)
        wanted = Wanted(stream, spot.site)
        change, base = self._change(wanted), self._kept[spot.site]
        value = base.clone()
        new = self._read.get(wanted)
        if isinstance(new, Tensor):
            value[:, change.start : change.stop] = new
        return Edit(spot, value, both(change.tokens(self._kept.length), self._asked(address)))

    # Puts ---------------------------------------------------------------------------------------

    def _puts(self, item: Item, write: Write) -> list[Put]:
        match write:
            case Value(address, source, kept):
                where = self._streams.cut(self._batch.mask(address.position, kept))
                values = self._sources.values(source, item.draw)
                return [
                    put_of(spot, self._whole(spot, values(spot.site, address.position)), self._kept[spot.site], where)
                    for spot in value_spots(write, self._model.shape)
                ]
            case Recorded(address, isolation):
                return self._recorded(address, self._isolated(item, isolation))
            case _:
                raise ValueError("edges that are patched together are not for this executor")

    def _whole(self, spot: Spot, value: Tensor) -> Tensor:
        """A source's activation at the tokens that are kept."""
        length = self._kept.length
        return value[:, :, :length, :length] if spot.site.kind is SiteKind.PATTERN else value[:, :length]

    def _recorded(self, address: Address, stream: Stream) -> list[Put]:
        """What was recorded, as puts."""
        node, shape = address.node, self._model.shape
        match node:
            case MLP(layer):
                change = self._answer(address, stream)
                return [
                    self._changed(
                        Spot(Site(SiteKind.MLP_OUT, layer)), self._kept[Site(SiteKind.MLP_OUT, layer)], change
                    )
                ]
            case Residual() | Logits():
                (spot,) = input_spots(address, shape)
                return [self._changed(spot, self._kept.stream(shape.read_at(node)), self._answer(address, stream))]
            case Neuron():
                edit = self._neuron(address, stream)
                return [put_of(edit.spot, edit.value, self._kept[edit.spot.site], edit.where)]
            case _:
                return [self._port(spot, address, stream) for spot in input_spots(address, shape)]

    def _changed(self, spot: Spot, base: Tensor, change: Change) -> Put:
        value = base[:, change.start : change.stop] + change.delta
        changed = change.tokens(self._kept.length)
        return Put(spot, change.start, value, changed, changed)

    def _port(self, spot: Spot, address: Address, stream: Stream) -> Put:
        """The q, k or v of a head or a layer."""
        wanted = Wanted(stream, spot.site)
        change, where, found = self._change(wanted), self._where(address), self._read.get(wanted)
        value = found if isinstance(found, Tensor) else self._kept[spot.site][:, change.start : change.stop]
        changed = change.tokens(self._kept.length)
        changed = changed if where is None else changed & where
        return Put(spot, change.start, value if spot.index is None else value[:, :, spot.index], changed, changed)


_PORT_SETS = ("q", "k", "v", "kq", "qv", "kv", "kqv")
