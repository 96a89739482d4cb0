"""What a graph must know about a model: its sizes and the order in which its parts read and write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from circuitgraph.nodes import (
    MLP,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Node,
    NodePattern,
    Residual,
    Sae,
    SaeError,
)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes and layout of a transformer. None = unknown (a spec that declares only part of it).

    The residual stream has 2·layers + 1 points: 2l is before block l, 2l + 1 between its attention
    and its MLP, 2·layers at the end. Parallel blocks have no point in between.
    """

    layers: int
    heads: int
    kv_heads: int
    d_model: int | None = None
    d_head: int | None = None
    d_mlp: int | None = None
    vocab: int | None = None
    vocab_out: int | None = None
    context: int | None = None
    mlps: bool = True
    parallel: bool = False
    causal: bool = True
    post_norm: bool = False
    norm: bool = True
    final_norm: bool = True
    soft_cap: bool = False
    gated: bool = False
    family: str = ""

    @property
    def grouped(self) -> bool:
        """Whether query heads share keys and values."""
        return self.kv_heads < self.heads

    def kv_head(self, head: int) -> int:
        """The index of the keys and values that a query head reads."""
        return head * self.kv_heads // self.heads

    def written_at(self, node: Node) -> int:
        """The first point of the residual stream that a change of `node`'s output reaches."""
        match node:
            case Input():
                return 0
            case Attention(layer) | Head(layer) | KVHead(layer):
                return 2 * layer + (2 if self.parallel else 1)
            case MLP(layer) | Neuron(layer):
                return 2 * layer + 2
            case Residual(layer, mid):
                return 2 * layer + mid
            case Feature(sae) | SaeError(sae):
                return self.written_at(sae.site)
            case Logits():
                return 2 * self.layers + 1
            case _:
                assert_never(node)

    def read_at(self, node: Node) -> int:
        """The point of the residual stream that `node` reads; -1 for `input`, which reads none."""
        match node:
            case Input():
                return -1
            case Attention(layer) | Head(layer) | KVHead(layer):
                return 2 * layer
            case MLP(layer) | Neuron(layer):
                return 2 * layer + (0 if self.parallel else 1)
            case Residual(layer, mid):
                return 2 * layer + mid
            case Feature(sae) | SaeError(sae):
                return self.written_at(sae.site)  # also of `input`, which reads none itself
            case Logits():
                return 2 * self.layers
            case _:
                assert_never(node)

    def can_reach(self, sender: Node, receiver: Node) -> bool:
        """Whether the residual stream carries `sender`'s output to `receiver`'s input."""
        if sender == receiver or isinstance(sender, Logits | KVHead):
            return False
        if isinstance(sender, Feature | SaeError) and isinstance(receiver, Residual | Feature | SaeError):
            # What is taken apart at a point of the stream is part of it there, and no input of another part.
            return self.written_at(sender) < self.read_at(receiver)
        return self.written_at(sender) <= self.read_at(receiver)

    def mlps_between(self, sender: Node, receiver: Node) -> tuple[int, ...]:
        """The layers of the MLPs strictly between sender and receiver."""
        if not self.mlps:
            return ()
        first, last = self.written_at(sender), self.read_at(receiver)
        layers = range(self.layers)
        return tuple(
            layer for layer in layers if first <= self.read_at(MLP(layer)) and self.written_at(MLP(layer)) <= last
        )

    def problem_with(self, node: Node) -> str | None:
        """Why this model has no such node; None if it has."""
        match node:
            case Input() | Logits():
                return None
            case Feature(Sae(width=int(width)) as sae, index) if index >= width:
                return f"{node} has feature {index}; {sae} has features f0 to f{width - 1}"
            case Feature(sae) | SaeError(sae):
                return self.problem_with(sae.site)
            case Residual(mid=True) if self.parallel:
                return f"{node} does not exist: attention and MLP of a block run in parallel in this model"
            case MLP() | Neuron() if not self.mlps:
                return f"{node} does not exist: this model has no MLPs"
            case Residual(layer, mid=True) if not self.mlps and 0 <= layer < self.layers:
                return f"{node} does not exist: this model has no MLPs; write r{layer + 1}"
            case Residual(layer, mid=False) if layer == self.layers:
                return None  # after the last block
            case _:
                pass
        if not 0 <= node.layer < self.layers:
            return f"{node} has layer {node.layer}; this model has layers 0 to {self.layers - 1}"
        match node:
            case Head(_, index) if index >= self.heads:
                return f"{node} has head {index}; this model has heads 0 to {self.heads - 1}"
            case KVHead(_, index) if index >= self.kv_heads:
                return f"{node} has key/value head {index}; this model has kv0 to kv{self.kv_heads - 1}"
            case Neuron(_, index) if self.d_mlp is not None and index >= self.d_mlp:
                return f"{node} has neuron {index}; this model has neurons 0 to {self.d_mlp - 1}"
            case _:
                return None

    def expand(self, pattern: NodePattern) -> tuple[Node, ...]:
        """All nodes a pattern such as `a*.h3` stands for, in layer order; () if the model has none."""
        kind, layer, index = pattern.kind, pattern.layer, pattern.index
        if kind == "input":
            return (Input(),)
        if kind == "logits":
            return (Logits(),)
        layers = range(self.layers) if layer is None else (layer,)
        count = {"h": self.heads, "kv": self.kv_heads, "n": self.d_mlp or 0}.get(kind, 0)
        indexes = range(count) if index is None else (index,)
        nodes: list[Node] = []
        for at in layers:
            match kind:
                case "a":
                    nodes.append(Attention(at))
                case "m":
                    nodes.append(MLP(at))
                case "r":
                    nodes.append(Residual(at) if at else Input())
                case "mid":
                    nodes.append(Residual(at, mid=True))
                case "h":
                    nodes.extend(Head(at, i) for i in indexes)
                case "kv":
                    nodes.extend(KVHead(at, i) for i in indexes)
                case _:
                    nodes.extend(Neuron(at, i) for i in indexes)
        return tuple(node for node in nodes if layer is not None or self.problem_with(node) is None)
