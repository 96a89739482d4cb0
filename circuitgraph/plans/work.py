"""What the fast executor computes for an experiment, in floating point operations of matrix products. Pure.

A product of [n, a] with [a, b] counts 2·n·a·b. Norms, activation functions and softmax are not counted. The first
token that an experiment changes is estimated from the prompts: where they differ, and the positions that are named.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Neuron,
    Position,
    Sae,
    SaeError,
    layer_of,
)
from circuitgraph.plans.routes import Kind, Start, slow_reason, start_of
from circuitgraph.plans.types import Counterfactual, Experiment, Free, Recorded, Swap, Value
from circuitgraph.prompts.pairs import Pair, PromptSet


@dataclass(frozen=True, slots=True)
class PromptShape:
    """What a cost needs to know of the pairs.

    Attributes:
        lengths: tokens of each.
        first: the first token at which the prompts of a pair differ, their length where none does; () = not known,
            and taken to be the first of all.
        indexes: of named positions, in each pair.
        read: how many tokens the metrics read in each pair.
    """

    lengths: tuple[int, ...]
    first: tuple[int, ...] = ()
    indexes: Mapping[Position, tuple[int, ...]] = field(default_factory=dict)
    read: int = 1

    @classmethod
    def of(cls, prompts: PromptSet, read: int = 1) -> PromptShape:
        """The shape of a set of prompts, of which metrics read `read` tokens each."""
        first = tuple(_first_difference(pair) for pair in prompts.pairs)
        return cls(tuple(map(len, prompts.pairs)), first, _Indexes(prompts), read)

    @property
    def tokens(self) -> int:
        """Tokens of all clean prompts."""
        return sum(self.lengths)

    def changed(self, write: Value) -> int:
        """At how many tokens of all pairs an output is replaced by another value, as far as the prompts tell."""
        if write.address.position is not None:
            return len(self.lengths)
        firsts = self.first if isinstance(write.source, Counterfactual) and self.first else (0,) * len(self.lengths)
        return sum(length - first for length, first in zip(self.lengths, firsts, strict=True))

    def suffixes(self, experiment: Experiment) -> Iterator[tuple[int, int]]:
        """For each pair, its length and how many of its tokens may differ from the base run."""
        written = [write for write in experiment.writes if isinstance(write, Value)]
        alike = bool(written) and all(isinstance(write.source, Counterfactual) for write in written)
        places = [write.address.position for write in (*written[:1], *_recorded(experiment))]
        named = [self.indexes[place] for place in places if place is not None]
        for i, length in enumerate(self.lengths):
            first = self.first[i] if alike and self.first else 0
            yield length, length - max([first, *(index[i] for index in named)])


class _Indexes(dict[Position, tuple[int, ...]]):
    """Positions are looked up in the prompts when they are asked for."""

    def __init__(self, prompts: PromptSet) -> None:
        super().__init__()
        self._prompts = prompts

    def __missing__(self, position: Position) -> tuple[int, ...]:
        self[position] = self._prompts.indexes(position)
        return self[position]


def _first_difference(pair: Pair) -> int:
    others = pair.clean if pair.corrupted is None else pair.corrupted
    differing = (i for i, (here, there) in enumerate(zip(pair.clean, others, strict=True)) if here != there)
    return 0 if pair.corrupted is None else next(differing, len(pair))


def _recorded(experiment: Experiment) -> list[Recorded]:
    return [write for write in experiment.propagate.writes if isinstance(write, Recorded)][:1]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Operations of the parts of a block for one token."""

    q: int
    kv: int
    out: int
    mlp: int
    mix: int
    """For each token that is attended to."""
    head: int
    """What one head's z takes to be written."""

    @classmethod
    def of(cls, shape: ModelShape) -> Sizes | None:
        """The sizes of a model; None where the spec does not declare them."""
        if shape.d_model is None or shape.d_head is None:
            return None
        inner = 2 * shape.d_model * shape.d_head
        matrices = 3 if shape.gated else 2
        mlp = 2 * shape.d_model * (shape.d_mlp or 4 * shape.d_model) * matrices if shape.mlps else 0
        return cls(
            q=inner * shape.heads,
            kv=2 * inner * shape.kv_heads,
            out=inner * shape.heads,
            mlp=mlp,
            mix=4 * shape.heads * shape.d_head,
            head=inner,
        )

    def block(self, length: int, tokens: int, read: int | None = None) -> int:
        """A block for some tokens of a prompt, of which `read` have queries (None = all)."""
        asking = tokens if read is None else read
        return tokens * self.kv + asking * (self.q + self.mix * length + self.out + self.mlp)


def forward_work(shape: ModelShape, prompts: PromptShape, *, logits: bool = True) -> int:
    """A plain forward pass over all prompts; with the logits of every token, as models compute them."""
    sizes = Sizes.of(shape)
    if sizes is None:
        return 0
    blocks = sum(shape.layers * sizes.block(length, length) for length in prompts.lengths)
    return blocks + (2 * (shape.d_model or 0) * (shape.vocab_out or 0) * prompts.tokens if logits else 0)


def propagation_work(experiment: Experiment, shape: ModelShape, prompts: PromptShape) -> int:
    """Stage 3 of one draw of an experiment that the fast executor runs."""
    sizes, start = Sizes.of(shape), start_of(experiment, shape)
    if sizes is None:
        return 0
    whole_last = start.kind is Kind.EDITED and any(
        layer_of(write.address.node) in (None, shape.layers - 1, shape.layers)
        for write in experiment.propagate.writes
        if not isinstance(write, Swap) and not isinstance(write.address.node, Input)
    )
    return sum(
        _after(start, sizes, shape, length, tokens, prompts.read, whole_last) if tokens > 0 else 0
        for length, tokens in prompts.suffixes(experiment)
    )


def _after(start: Start, sizes: Sizes, shape: ModelShape, length: int, tokens: int, read: int, whole_last: bool) -> int:
    """What comes after a change, for one pair; `whole_last`: all tokens have queries in the last block."""
    last = start.point >= 2 * shape.layers - 1 and start.kind is not Kind.EDITED
    asking = read if last else tokens
    total = asking * (2 * sizes.mix // shape.heads * length + sizes.head) if start.kind is Kind.HEAD else 0
    if start.point % 2:
        total += asking * sizes.mlp
    layers = range((start.point + 1) // 2, shape.layers)
    return total + sum(
        sizes.block(length, tokens, read if layer == shape.layers - 1 and not whole_last else None) for layer in layers
    )


def isolation_work(experiments: Sequence[Experiment], shape: ModelShape, prompts: PromptShape) -> int:
    """Stage 2 of experiments that share their streams: each part of it once."""
    sizes, known, total = Sizes.of(shape), set[Hashable](), 0
    if sizes is None:
        return 0
    for experiment in experiments:
        for part, cost in _isolating(experiment, sizes, shape, prompts):
            if part not in known:
                known.add(part)
                total += cost * experiment.repeat
    return total


def _isolating(
    experiment: Experiment, sizes: Sizes, shape: ModelShape, prompts: PromptShape
) -> Iterator[tuple[Hashable, int]]:
    """The parts of an experiment's stage 2, and of writing the outputs that it replaces; equal ones are shared."""
    landed = start_of(experiment, shape).kind is Kind.LANDED
    for writes in (*(i.writes for i in experiment.isolations), *((experiment.propagate.writes,) * landed)):
        for write in writes:
            if isinstance(write, Value):
                yield (experiment.base, write), _writing(write, sizes, shape) * prompts.changed(write)
    for isolation in experiment.isolations:
        stream = (experiment.base, isolation.writes, isolation.free)
        # What a stream leads to is read at all tokens that it changes, also for a receiver at one of them.
        changed = [prompts.changed(write) for write in isolation.writes if isinstance(write, Value)]
        tokens = max(changed, default=sum(max(0, some) for _, some in prompts.suffixes(experiment)))
        for address in isolation.record:
            yield from (((stream, part), cost * tokens) for part, cost in _reading(address, sizes))
            swept = _sweep(isolation.free, isolation.writes, address, shape)
            yield from (((stream, layer), sizes.mlp * tokens) for layer in swept)


def _writing(write: Value, sizes: Sizes, shape: ModelShape) -> int:
    """What it takes to write another output into the stream, for one token."""
    match write.address.node:
        case Head():
            return sizes.head
        case Attention():
            return sizes.out
        case Neuron():
            return 2 * (shape.d_model or 0)
        case _:
            return 0


def _reading(address: Address, sizes: Sizes) -> Iterator[tuple[Hashable, int]]:
    """What of a layer is computed to record a receiver: once for all receivers of a stream."""
    node = address.node
    match node:
        case Head(layer) | KVHead(layer) | Attention(layer):
            for port in address.ports or ("q", "k", "v"):
                yield (layer, str(port)), sizes.q if port == "q" else sizes.kv // 2
        case MLP(layer) | Neuron(layer):
            yield (layer, "mlp"), sizes.mlp
        case _:
            return


def _sweep(free: Free, writes: Sequence[Value | Recorded], receiver: Address, shape: ModelShape) -> Iterator[Hashable]:
    """The MLPs that answer on the way to a receiver."""
    if free is Free.MLPS:
        for write in writes:
            yield from (("sweep", layer) for layer in shape.mlps_between(write.address.node, receiver.node))


def unembedding_work(experiments: int, shape: ModelShape, prompts: PromptShape, columns: int | None) -> int:
    """Reading metrics: `columns` of the vocabulary, or all of it (None)."""
    width = 2 * (shape.d_model or 0) * (columns if columns is not None else shape.vocab_out or 0)
    return experiments * len(prompts.lengths) * prompts.read * width


def literal_work(experiment: Experiment, shape: ModelShape, prompts: PromptShape) -> int:
    """An experiment as whole forward passes, in each of which its streams are encoded and decoded."""
    apart = sum(4 * (shape.d_model or 0) * (sae.width or 0) * prompts.tokens for sae in saes_of(experiment))
    return (len(experiment.isolations) + 1) * experiment.repeat * (forward_work(shape, prompts) + apart)


def saes_of(experiment: Experiment) -> frozenset[Sae]:
    """The sparse autoencoders whose parts of the stream an experiment writes or records."""
    written = (write.address for write in experiment.writes if not isinstance(write, Swap))
    recorded = (address for isolation in experiment.isolations for address in isolation.record)
    nodes = (address.node for address in (*written, *recorded))
    return frozenset(node.sae for node in nodes if isinstance(node, Feature | SaeError))


def experiment_work(experiment: Experiment, shape: ModelShape, prompts: PromptShape) -> int:
    """An experiment with the executor that runs it, without what it shares with others."""
    if any(isinstance(write, Swap) for write in experiment.propagate.writes) or slow_reason(experiment, shape):
        return literal_work(experiment, shape, prompts)
    return experiment.repeat * propagation_work(experiment, shape, prompts)
