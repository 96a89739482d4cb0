"""Experiments that begin at the same place are stacked, run on from there, and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.execute.fast.begin import Beginnings, Item
from circuitgraph.execute.fast.change import Change
from circuitgraph.execute.fast.kept import Kept
from circuitgraph.execute.fast.mixing import Inputs, mixed_again
from circuitgraph.execute.fast.propagate import Stack
from circuitgraph.execute.fast.puts import Put, first_true
from circuitgraph.execute.fast.reading import Readings
from circuitgraph.execute.fast.stacks import Block, blocks
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site
from circuitgraph.nodes import Head
from circuitgraph.plans.routes import Kind, Start, start_of
from circuitgraph.plans.types import Swap
from circuitgraph.spec.model import BaseRun

Content = Change | Inputs | Sequence[Put]
"""What an experiment changes first: landed, at a head, or at several places."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Measures experiments of one batch and one base run, those together that begin at the same place."""

    model: TransformerModel
    kept: Kept
    readings: Readings
    begin: Beginnings
    base: BaseRun
    tokens: int
    progress: Callable[[int], None]

    def measure(self, items: Sequence[Item]) -> NDArray[np.float64]:
        """Every metric in the patched run of each item. [metrics, items, pairs]"""
        self.begin.prepare(items)
        unpatched = self.readings.unpatched(self.base).cpu().numpy()
        found = np.repeat(unpatched[:, None], len(items), axis=1)
        groups: dict[Start, list[int]] = {}
        for i, item in enumerate(items):
            groups.setdefault(start_of(item.experiment, self.model.shape), []).append(i)
        for start, indexes in sorted(groups.items()):
            some = found[:, indexes]
            measure = self._at_tokens if self._mixes_no_more(start) else self._in_stacks
            measure(start, [items[i] for i in indexes], some)
            found[:, indexes] = some
            self.progress(sum(items[i].draw == 0 for i in indexes))
        return found

    def _mixes_no_more(self, start: Start) -> bool:
        """Whether tokens have nothing to do with each other any more, once the change has landed."""
        shape = self.model.shape
        return start.kind is not Kind.EDITED and start.point >= 2 * shape.layers - (0 if shape.parallel else 1)

    def _at_tokens(self, start: Start, items: Sequence[Item], found: NDArray[np.float64]) -> None:
        """After the last attention: only the tokens that are read."""
        read = self.readings.read
        pairs = torch.arange(len(read), device=read.device)
        base = self.readings.at_read(self.kept.stream(start.point))
        step = max(1, self._tokens_at_once(start) // read.numel())
        for begin in range(0, len(items), step):
            delta = self._delta(start, items[begin : begin + step])
            stack = Stack(self.model, self.kept, 0, read)
            finals = stack.finals_of_read(base[:, None] + delta, start.point)
            values = self.readings.measure(finals, pairs, self.base).cpu().numpy()
            place = found[:, begin : begin + step]
            np.copyto(place, values, where=self._by_metric((delta != 0).any(dim=-1)))

    def _tokens_at_once(self, start: Start) -> int:
        """How many of the tokens that are read may be in a stack: a head that mixes again reads all others as well."""
        if start.kind is Kind.LANDED:
            return self.tokens
        # Its q, k and v are as many times narrower than the stream as a layer has heads.
        return min(self.tokens, self.tokens * self.model.shape.heads * self.readings.read.shape[1] // self.kept.length)

    def _delta(self, start: Start, items: Sequence[Item]) -> Tensor:
        """How the stream changes at the tokens that are read. [pairs, experiments, tokens, d_model]"""
        read = self.readings.read
        if start.kind is Kind.LANDED:
            return torch.stack([_at(self.begin.landed(item, start.point), read) for item in items], dim=1)
        heads = [_head(item) for item in items]
        inputs, indexes = [self.begin.inputs(item) for item in items], [head.index for head in heads]
        return mixed_again(self.model, self.kept, heads[0].layer, indexes, inputs, 0, read)

    def _in_stacks(self, start: Start, items: Sequence[Item], found: NDArray[np.float64]) -> None:
        contents = [self._content(start, item) for item in items]
        first = self._first(contents)
        kept: dict[bytes, Kept] = {}
        for block in blocks(first, self.kept.length, self.tokens):
            pairs = torch.as_tensor(block.pairs, device=self.model.device)
            some = kept.setdefault(block.pairs.tobytes(), self.kept.of(pairs))
            begins = torch.as_tensor(first[np.ix_(block.items, block.pairs)], device=self.model.device)
            chosen = [(items[i], contents[i]) for i in block.items]
            finals, reached = self._finals(start, block, chosen, pairs, some, begins)
            values = self.readings.measure(finals, pairs, self.base).cpu().numpy()
            place = np.ix_(np.arange(len(found)), block.items, block.pairs)
            found[place] = np.where(self._by_metric(reached), values, found[place])

    def _by_metric(self, reached: Tensor) -> NDArray[np.bool_]:
        """For each metric, whether the token that it reads is reached by a change. [metrics, experiments, pairs]

        Where it is not, the number is the base run's own: what rounding adds would be an effect of one sign.

        Args:
            reached: of the tokens that are read [pairs, experiments, positions].
        """
        return reached.permute(2, 1, 0)[self.readings.slots].cpu().numpy()

    def _content(self, start: Start, item: Item) -> Content:
        match start.kind:
            case Kind.LANDED:
                return self.begin.landed(item, start.point)
            case Kind.HEAD:
                return self.begin.inputs(item)
            case Kind.EDITED:
                return self.begin.puts(item)

    def _first(self, contents: Sequence[Content]) -> NDArray[np.int64]:
        """The first token that changes, the number of tokens where nothing does that could matter. [items, pairs]"""
        length = self.kept.length
        changed = torch.stack([_changed(content, length) for content in contents])
        if not self.model.shape.causal:
            return torch.where(changed.any(dim=-1), 0, length).cpu().numpy()
        first = first_true(changed, length)
        return first.masked_fill(first > self.readings.read.amax(dim=1), length).cpu().numpy()

    def _finals(
        self,
        start: Start,
        block: Block,
        some: Sequence[tuple[Item, Content]],
        pairs: Tensor,
        kept: Kept,
        begins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The final streams of a block at the tokens that are read.

        Args:
            begins: the first token that changes, the number of tokens where none does. [experiments, pairs]

        Returns:
            [pairs, experiments, positions, d_model], and whether a change reaches them [pairs, experiments, positions]
        """
        read = self.readings.read[pairs]
        x = kept.stream(start.point)[:, None, block.start :].repeat(1, len(some), 1, 1)
        puts: dict[Site, list[tuple[int, Put]]] = {}
        heads: list[Head] = []
        inputs: list[Inputs] = []
        for row, (item, content) in enumerate(some):
            if isinstance(content, Change):
                x[:, row] += content.of(pairs).spread(block.start, kept.length)
            elif isinstance(content, Mapping):
                heads.append(_head(item))
                inputs.append({kind: put.of(pairs) for kind, put in content.items()})
            else:
                for put in content:
                    puts.setdefault(put.spot.site, []).append((row, put.of(pairs)))
        if heads:
            layer, indexes = heads[0].layer, [head.index for head in heads]
            x += mixed_again(self.model, kept, layer, indexes, inputs, block.start)
        reached = (kept.length > begins.T)[..., None].expand(-1, -1, read.shape[1])
        if self._mixes_no_more(start):
            reached = _differs(x, kept.stream(start.point)[:, None, block.start :], read - block.start)
        elif self.model.shape.causal:
            reached = read[:, None] >= begins.T[..., None]
        finals = Stack(self.model, kept, block.start, read, puts).finals(x, start.point)
        # A token before the first that changes is as in the base run.
        base = kept.stream(2 * self.model.shape.layers)[torch.arange(len(pairs), device=read.device)[:, None], read]
        return torch.where((read >= block.start)[:, None, :, None], finals, base[:, None]), reached


def _head(item: Item) -> Head:
    """The head whose inputs are written."""
    (write,) = item.experiment.propagate.writes
    if isinstance(write, Swap) or not isinstance(write.address.node, Head):
        raise ValueError(f"'{item.experiment.label}' writes to no head")
    return write.address.node


def _changed(content: Content, length: int) -> Tensor:
    """The tokens that change first. [batch, length]"""
    if isinstance(content, Change):
        return content.tokens(length)
    puts = content.values() if isinstance(content, Mapping) else content
    return torch.stack([put.changed for put in puts]).any(dim=0)


def _differs(x: Tensor, base: Tensor, tokens: Tensor) -> Tensor:
    """Whether two streams differ at some tokens; not at those before the first, which are negative.

    Args:
        x: [batch, experiments, length, d_model].
        base: [batch, 1, length, d_model].
        tokens: [batch, n].

    Returns:
        [batch, experiments, n]
    """
    differs = (x != base).any(dim=-1)
    at = tokens.clamp(min=0)[:, None].expand(-1, x.shape[1], -1)
    return differs.gather(2, at) & (tokens >= 0)[:, None]


def _at(change: Change, tokens: Tensor) -> Tensor:
    """A change at some tokens [batch, n] of each pair. [batch, n, …]"""
    if not change:
        return change.delta.new_zeros(*tokens.shape, *change.delta.shape[2:])
    inside = (tokens >= change.start) & (tokens < change.stop)
    index = (tokens - change.start).clamp(0, change.delta.shape[1] - 1)
    rows = torch.arange(len(tokens), device=tokens.device)[:, None]
    return change.delta[rows, index] * inside[..., None]
