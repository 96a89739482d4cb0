"""Stage 2 without a forward pass: how far a change of some outputs gets in the residual stream of one base run.

With everything frozen the stream changes by what is written anew and by nothing else. With the MLPs free, each MLP on
the way answers; as they treat tokens one by one, all streams that pass a layer go through its MLP in one product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.execute.edits import Edit
from circuitgraph.execute.fast.change import Change, change_of, rows_of, split_rows
from circuitgraph.execute.fast.kept import Kept
from circuitgraph.execute.fast.needed import stream_site
from circuitgraph.execute.fast.puts import put_of
from circuitgraph.execute.references import Values
from circuitgraph.execute.spots import value_spots
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.lean import Map
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import MLP, Head
from circuitgraph.plans.types import Free, Source, Value

ROWS = 2048
"""Tokens that go through a weight matrix at once."""


class Stream:
    """The change of the residual stream at each of its points, as far as it has been followed.

    Attributes:
        free: what answers on the way.
        edits: the outputs that are replaced, by site.
    """

    def __init__(self, nothing: Change, free: Free) -> None:
        self.free = free
        self.edits: dict[Site, list[Edit]] = {}
        self.followed = -1
        self._points: list[tuple[int, Change]] = [(-1, nothing)]
        self._landing: dict[int, Change] = {}

    def at(self, point: int) -> Change:
        """The change at a point that has been followed."""
        return next(change for reached, change in reversed(self._points) if reached <= point)

    def land(self, point: int, change: Change) -> None:
        """Add a change that begins at a point."""
        self._landing[point] = change

    def advance(self, point: int, change: Change) -> None:
        """The stream changes so at the next point."""
        if point in self._landing:
            change = change + self._landing[point]
        if change is not self._points[-1][1]:
            self._points.append((point, change))
        self.followed = point


class Streams:
    """Follows streams through the frozen base run."""

    def __init__(self, model: TransformerModel, batch: Batch, kept: Kept) -> None:
        self._model = model
        self._batch = batch
        self._kept = kept
        self.nothing = Change(0, kept.stream(2 * model.shape.layers)[:, :0])

    def of_values(self, writes: Sequence[Value], free: Free, values: Callable[[Source], Values]) -> Stream:
        """The stream in which outputs have the values of their sources."""
        stream = Stream(self.nothing, free)
        for write in writes:
            position = write.address.position
            where = self.cut(self._batch.mask(position, write.kept))
            for spot in value_spots(write, self._model.shape):
                value = values(write.source)(spot.site, position)[:, : self._kept.length]
                stream.edits.setdefault(spot.site, []).append(Edit(spot, value, where))
        return stream

    def cut(self, where: Tensor | None) -> Tensor | None:
        """A mask [batch, pos] for the tokens that are kept."""
        return None if where is None else where[:, : self._kept.length]

    def follow(self, points: Mapping[Stream, int]) -> None:
        """Follow streams, each up to a point of the residual stream."""
        for here in range(max(points.values(), default=-1) + 1):
            coming = [stream for stream, point in points.items() if stream.followed < here <= point]
            found = {stream: stream.at(here) for stream in coming}
            for stream in coming:
                found[stream] = found[stream] + self._attention(stream, here)
            self._mlps(found, here)
            for stream, change in found.items():
                stream.advance(here, self._replaced(stream, here, change))

    def _attention(self, stream: Stream, point: int) -> Change:
        """What the replaced heads of a layer that lands here change."""
        shape = self._model.shape
        layer, odd = divmod(point - shape.written_at(Head(0, 0)), 2)
        edits = [] if odd or not 0 <= layer < shape.layers else stream.edits.get(Site(SiteKind.Z, layer), [])
        if not edits:
            return self.nothing
        attention = self._model.lean.attention[layer]
        return self._rewritten(edits, attention.write if attention.post else None, attention.weight)

    def _rewritten(self, edits: Sequence[Edit], write: Map | None, weight: Tensor) -> Change:
        """The change of what a layer writes.

        Args:
            write: from the whole activation; None where each part of it is written for itself, by `weight` alone.
            weight: [parts, .., d_model].
        """
        base = self._kept[edits[0].spot.site]
        parts = list(dict.fromkeys(edit.spot.index for edit in edits))
        if write is None and None not in parts:
            changed = change_of(_of_parts(edits, base))
            weights = torch.cat([weight[part].reshape(-1, weight.shape[-1]) for part in parts if part is not None])
            rows = changed.delta.flatten(2)
            # As one product: PyTorch would make one of each pair from a slice of an activation.
            return Change(changed.start, (rows.flatten(0, 1) @ weights).unflatten(0, rows.shape[:2]))
        new = base
        for edit in edits:
            new = edit(new)
        if write is not None:
            return change_of(write(new) - write(base))
        changed = change_of(new - base)
        return Change(changed.start, changed.delta.flatten(2) @ weight.flatten(0, -2))

    def rewritten_neurons(self, edits: Sequence[Edit]) -> Change:
        """What replaced neurons of one MLP change."""
        mlp = self._model.lean.mlps[edits[0].spot.site.layer]
        return self._rewritten(edits, mlp.write if mlp.post else None, mlp.weight)

    def _mlps(self, found: dict[Stream, Change], point: int) -> None:
        """Add what the MLP that lands here changes, of its own or in answer to what it reads."""
        shape, layer = self._model.shape, point // 2 - 1
        if point % 2 or layer < 0 or not shape.mlps:
            return
        read_at, sites = shape.read_at(MLP(layer)), [Site(k, layer) for k in (SiteKind.NEURONS, SiteKind.MLP_OUT)]
        answering = [stream for stream in found if stream.free is Free.MLPS and stream.at(read_at)]
        outputs = dict(zip(answering, self._answers(answering, layer, read_at), strict=True))
        for stream in found:
            inner, outer = (stream.edits.get(site, []) for site in sites)
            change = outputs.get(stream, self.nothing)
            if inner and stream not in outputs:
                change = self.rewritten_neurons(inner)
            for edit in outer:
                change = change.but(edit.where) + change_of(edit.value - self._kept[sites[1]]).at(edit.where)
            found[stream] = found[stream] + change

    def _answers(self, streams: Sequence[Stream], layer: int, read_at: int) -> list[Change]:
        """How the output of an MLP changes with its input."""
        if not streams:
            return []
        mlp, inner = self._model.lean.mlps[layer], Site(SiteKind.NEURONS, layer)
        read = [self._widened(stream.at(read_at), stream.edits.get(inner, [])) for stream in streams]
        if not any(inner in stream.edits for stream in streams):
            return self.outputs(mlp, read, layer, read_at)
        changes = []
        for stream, change in zip(streams, read, strict=True):
            edits = stream.edits.get(inner, [])
            (new,) = split_rows(mlp.neurons(mlp.norm(rows_of([change], self._kept.stream(read_at)))), [change])
            changed = change.tokens(self._kept.length)
            for edit in edits:
                window = slice(change.start, change.stop)
                new = edit.spot.put(new, edit.value[:, window], None if edit.where is None else edit.where[:, window])
                changed = changed | put_of(edit.spot, edit.value, self._kept[inner], edit.where).changed
            out = self._kept[Site(SiteKind.MLP_OUT, layer)][:, change.start : change.stop]
            changes.append(Change(change.start, mlp.write(new) - out).at(changed))
        return changes

    def outputs(self, mlp: Map, read: Sequence[Change], layer: int, read_at: int) -> list[Change]:
        """How what an MLP writes changes with each of the streams it reads."""
        rows = rows_of(read, self._kept.stream(read_at))
        new = torch.cat([mlp(some) for some in rows.split(ROWS)])
        out = self._kept[Site(SiteKind.MLP_OUT, layer)]
        parts = zip(split_rows(new, read), read, strict=True)
        # What reads its base value answers with its base value, also where rounding would say otherwise.
        return [Change(c.start, part - out[:, c.start : c.stop]).at(c.tokens(self._kept.length)) for part, c in parts]

    def _widened(self, change: Change, edits: Sequence[Edit]) -> Change:
        """A change whose window holds the tokens of edits as well."""
        if not edits:
            return change
        return Change(0, change.spread(0, self._kept.length))

    def _replaced(self, stream: Stream, point: int, change: Change) -> Change:
        """The change where the stream itself is replaced here."""
        if not stream.edits:
            return change
        for edit in stream.edits.get(stream_site(point, self._model.shape), []):
            change = change.but(edit.where) + change_of(edit.value - self._kept.stream(point)).at(edit.where)
        return change


def _of_parts(edits: Sequence[Edit], base: Tensor) -> Tensor:
    """How the edited parts of an activation [batch, length, parts, …] change, in the order in which they come first."""
    found: dict[int | None, Tensor] = {}
    for edit in edits:
        part = edit.spot.index
        new, old = edit.value[:, :, part], found.get(part, base[:, :, part])
        where = None if edit.where is None else edit.where.reshape(*new.shape[:2], *[1] * (new.dim() - 2))
        found[part] = new if where is None else torch.where(where, new, old)
    return torch.stack([new - base[:, :, part] for part, new in found.items()], dim=2)
