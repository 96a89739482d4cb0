"""Chains of nodes written out with plain hooks: each hop isolated in turn, one whole forward pass each.

The first hop replaces the sender's output and records the next node's input; each later hop writes what was
recorded over that node's input, in a run where everything else is frozen and that node's output alone follows.
An edge is a chain of two. Nodes are named as in plain_hooks; `a1.h2<v>@B>END` changes at B and sends at END.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from tests.plain_hooks import Edit, Place, PlainModel

Tokens = Sequence[int] | None


@dataclass(frozen=True)
class Hold:
    """Keep a place at `value`, but for some columns, which follow the run: at one token per pair, or everywhere."""

    place: Place
    value: Tensor
    free: Place
    at: Tokens

    def __call__(self, current: Tensor) -> Tensor:
        held = self.value.clone()
        for pair in range(len(held)):
            tokens = slice(None) if self.at is None else self.at[pair]
            held[pair, tokens, self.free.columns] = current[pair, tokens, self.free.columns]
        return held


@dataclass(frozen=True)
class Hop:
    """A node of a chain with the tokens where its input changes and where its output follows."""

    name: str
    at: Tokens = None
    out: Tokens = None

    @classmethod
    def read(cls, text: str, index: Callable[[str], Sequence[int]]) -> Hop:
        """From an address, with `index` from a position's name to a token per pair."""
        name, _, where = text.partition("@")
        at, _, out = where.partition(">")
        return cls(name, index(at) if at else None, index(out) if out else None)


class PlainChains:
    """The chains of a model; shared keys and values have a copy for every query head, which is the same function."""

    def __init__(self, plain: PlainModel) -> None:
        """Take a model."""
        self.group = plain.heads // plain.kv_heads
        self.plain = plain if self.group == 1 else plain.with_own_keys_and_values()
        layers = range(len(self.plain.blocks))
        self.zs, self.neurons = (
            [self.plain.z(layer) for layer in layers],
            [self.plain.neurons(layer) for layer in layers],
        )

    def output(self, name: str) -> Place:
        """Where a sender's output is replaced."""
        if mlp := re.fullmatch(r"m(\d+)", name):
            return self.plain.mlp_write(int(mlp[1]))
        if stream := re.fullmatch(r"r(\d+)", name):
            return self.plain.residual(int(stream[1]))
        return self.plain.sender(name)

    def inputs(self, name: str) -> list[Place]:
        """Where a receiver's input is recorded and written: one place per port."""
        plain = self.plain
        if neuron := re.fullmatch(r"m\d+\.n\d+", name):
            return [plain.sender(neuron[0])]
        if middle := re.fullmatch(r"r(\d+)\.mid", name):
            return [plain.middle(int(middle[1]))]
        if heads := re.fullmatch(r"a(\d+)(?:\.kv(\d+))?(?:<([qkv,]+)>)?", name):
            first = int(heads[2] or 0) * self.group
            several = range(first, first + self.group) if heads[2] else range(plain.heads)
            ports = (heads[3] or ("k,v" if heads[2] else "q,k,v")).split(",")
            return [plain.projected(int(heads[1]), port, head) for port in ports for head in several]
        return plain.receiver(name)

    def whole(self, ids: Tensor, name: str) -> Tensor:
        """The tensor that holds a sender's output in an unpatched run."""
        place = self.output(name)
        return self.plain.run(ids, keep=[place])[1][place.module, place.side]

    def patch(self, base: Tensor, value: Tensor, hops: Sequence[Hop], *, through_mlps: bool) -> Tensor:
        """The patched logits; `value` is a tensor as in `whole`. [pairs, tokens, vocab]"""
        streams = [self.plain.residual(layer) for layer in range(len(self.zs))]
        _, at_base = self.plain.run(base, keep=[*self.zs, *self.neurons, *streams])
        changed: list[Edit] = [Edit(self.output(hops[0].name), value, hops[0].at)]
        recorded: dict = {}
        for number, (here, there) in enumerate(pairwise(hops)):
            follows = self._follows(here) if number else None
            changed = self._written(here, recorded, at_base) if number else changed
            frozen = [*self._frozen(at_base, there, follows, here.out, through_mlps), *changed]
            _, recorded = self.plain.run(base, frozen, keep=self.inputs(there.name))
        return self.plain.run(base, self._written(hops[-1], recorded, at_base))[0]

    def _follows(self, hop: Hop) -> Place | None:
        """The output that follows when a node's input was written; None where the node is its own output."""
        if re.fullmatch(r"r\d+(\.mid)?|m\d+\.n\d+", hop.name):
            return None
        name = hop.name.partition("<")[0]
        return self.neurons[int(name[1:])] if name[0] == "m" else self.plain.sender(name)

    def _frozen(
        self, at_base: dict, there: Hop, follows: Place | None, out: Tokens, through_mlps: bool
    ) -> Iterable[Edit | Hold]:
        """All heads at their base values, and all MLPs unless they are free; but for what follows."""
        recorded = {place.module for place in self.inputs(there.name)}
        for place in [*self.zs, *self.neurons]:
            value = at_base[place.module, place.side]
            if follows is not None and place.module is follows.module:
                yield Hold(place, value, follows, out)
            # A neuron is recorded where it would be frozen, and only read there.
            elif place.module not in recorded and (place in self.zs or not through_mlps):
                yield Edit(place, value)

    def _written(self, hop: Hop, recorded: dict, at_base: dict) -> list[Edit]:
        """The edits that put what was recorded over a node's input."""
        if middle := re.fullmatch(r"r(\d+)\.mid", hop.name):
            # The block adds to its own input: attention must write what is missing to it.
            layer = int(middle[1])
            read, before = self.plain.middle(layer), self.plain.residual(layer)
            missing = recorded[read.module, read.side] - at_base[before.module, before.side]
            return [Edit(self.plain.attention_write(layer), missing, hop.at)]
        return [Edit(place, recorded[place.module, place.side], hop.at) for place in self.inputs(hop.name)]
