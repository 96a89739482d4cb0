"""Experiment + ModelShape -> the parts of the model that are told apart in its picture. Pure: nothing is placed here.

A part is a node that the experiment names, or what is left of a layer's heads or of its MLP when those are taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Node,
    Residual,
    SaeError,
    layer_of,
)
from circuitgraph.plans.types import Experiment, Recorded, Swap, Value

FEW_HEADS = 3
"""In layers of so many heads each has its own box, whether it is named or not."""


class Side(StrEnum):
    """Where a part stands: on the residual stream, or beside it."""

    STREAM = "stream"
    HEADS = "heads"
    MLP = "MLP"


@dataclass(frozen=True, slots=True)
class Part:
    """One node, or several heads of a layer that nothing tells apart."""

    side: Side
    node: Node
    """The node itself; of several heads the first, which reads and writes where all of them do."""
    heads: tuple[Head, ...] = ()
    """The heads it holds."""
    addresses: tuple[Address, ...] = ()
    """How the experiment names it; () = it does not."""
    role: str = ""
    rest: bool = False
    """Whether other parts have been taken out of it."""

    @property
    def layer(self) -> int | None:
        """The block it is in; None for the ends of the stream."""
        return layer_of(self.node)

    @property
    def count(self) -> int:
        """How many components it stands for."""
        return len(self.heads) or 1


def named(experiment: Experiment) -> tuple[Address, ...]:
    """Every address that is written or recorded, as it is first met."""
    found: dict[Address, None] = {}
    for isolation in experiment.isolations:
        found.update((address, None) for address in (*map(written, isolation.writes), *isolation.record))
    found.update((written(write), None) for write in experiment.propagate.writes if not isinstance(write, Swap))
    return tuple(found)


def written(write: Value | Recorded) -> Address:
    """What a write is put at."""
    return write.address


def parts_of(experiment: Experiment, shape: ModelShape) -> tuple[Part, ...]:
    """All parts, the input first, then layer by layer, heads before MLPs, the logits last."""
    addresses: dict[Node, list[Address]] = {}
    for address in named(experiment):
        addresses.setdefault(address.node, []).append(address)
    roles = _roles(experiment)

    def part(side: Side, node: Node, heads: tuple[Head, ...] = (), *, rest: bool = False) -> Part:
        return Part(side, node, heads, tuple(addresses.get(node, ())), roles.get(node, ""), rest)

    by_layer: dict[int | None, list[Node]] = {}
    for node in addresses:
        by_layer.setdefault(layer_of(node), []).append(node)
    found = [part(Side.STREAM, Input())]
    for layer in range(shape.layers):
        nodes = by_layer.get(layer, [])
        found += [part(Side.STREAM, node) for node in sorted_residuals(nodes) if not node.mid]
        found += [part(Side.HEADS, node, heads, rest=rest) for node, heads, rest in _attention(layer, nodes, shape)]
        found += [part(Side.STREAM, node) for node in sorted_residuals(nodes) if node.mid]
        if shape.mlps:
            neurons = sorted(node for node in nodes if isinstance(node, Neuron))
            found += [part(Side.MLP, node) for node in neurons]
            found.append(part(Side.MLP, MLP(layer), rest=bool(neurons) and MLP(layer) not in addresses))
    found += [part(Side.STREAM, node) for node in sorted_residuals(by_layer.get(shape.layers, []))]
    return (*found, part(Side.STREAM, Logits()))


def sorted_residuals(nodes: Sequence[Node]) -> list[Residual]:
    """The points of the residual stream among some nodes, in order."""
    return sorted(node for node in nodes if isinstance(node, Residual))


def _attention(layer: int, nodes: Sequence[Node], shape: ModelShape) -> Iterator[tuple[Node, tuple[Head, ...], bool]]:
    """The heads of a layer: named ones, of overlapping ones the finest, then all that are left."""
    left = {index: Head(layer, index) for index in range(shape.heads)}
    size = {Head: 0, KVHead: 1, Attention: 2}
    finest = sorted((node for node in nodes if type(node) in size), key=lambda node: (size[type(node)], str(node)))
    taken: list[tuple[Node, tuple[Head, ...], bool]] = []
    for node in finest:
        heads = tuple(head for head in heads_of(node, shape) if head.index in left)
        if heads:
            taken.append((node, heads, len(heads) < len(heads_of(node, shape))))
        for head in heads:
            del left[head.index]
    rest = tuple(left.values())
    if shape.heads <= FEW_HEADS:
        taken += [(head, (head,), False) for head in rest]
    elif rest:
        taken.append((rest[0], rest, len(rest) < shape.heads))
    yield from sorted(taken, key=lambda each: (len(each[1]) > 1 and each[1] == rest, each[1]))


def heads_of(node: Node, shape: ModelShape) -> tuple[Head, ...]:
    """The query heads that a node of attention stands for."""
    match node:
        case Head():
            return (node,)
        case KVHead(layer, index):
            each = max(shape.heads // shape.kv_heads, 1)
            return tuple(Head(layer, head) for head in range(index * each, (index + 1) * each))
        case Attention(layer):
            return tuple(Head(layer, head) for head in range(shape.heads))
        case Input() | MLP() | Neuron() | Residual() | Logits() | Feature() | SaeError():
            return ()
        case _:
            assert_never(node)


def covers(node: Node, part: Part, shape: ModelShape) -> bool:
    """Whether what is done to `node` is done to the whole of `part`."""
    if part.heads:
        return {*part.heads} <= {*heads_of(node, shape)}
    return node == part.node or (isinstance(part.node, Neuron) and node == MLP(part.node.layer))


def _roles(experiment: Experiment) -> dict[Node, str]:
    """Node → sender, hop 1, receiver … ; `patched` where a node is patched by itself."""
    found: dict[Node, dict[str, None]] = {}

    def note(address: Address, role: str) -> None:
        found.setdefault(address.node, {})[role] = None

    for step, isolation in enumerate(experiment.isolations):
        for write in isolation.writes:
            note(write.address, "sender" if isinstance(write, Value) else f"hop {step}")
    for write in experiment.propagate.writes:
        if not isinstance(write, Swap):
            note(write.address, "patched" if isinstance(write, Value) else "receiver")
    return {node: ", ".join(roles) for node, roles in found.items()}
