"""The finest partition of a model: input, heads, MLPs and logits, and every edge between them. Pure.

Keys and values that query heads share (grouped-query attention) are the ports of one node, `a9.kv2`. A
circuit is a set of these edges, each at some positions or at all: what the claims of a spec add up to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from circuitgraph.errors import InputError
from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, EdgeClaim, NodeClaim, Origin, SetClaim
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import (
    ALL_PORTS,
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
    Port,
    Position,
    Residual,
    SaeError,
)
from circuitgraph.spec.model import PathKind

Positions = tuple[Position, ...]
"""Where an edge or a node belongs to a circuit; () = at every token."""


@dataclass(frozen=True, order=True, slots=True)
class PartitionEdge:
    """One edge of the finest partition. `port` is None where the receiver has one input."""

    sender: Node
    receiver: Node
    port: Port | None = None

    @property
    def target(self) -> Address:
        """The receiver with its port."""
        return Address(self.receiver, () if self.port is None else (self.port,))

    def __str__(self) -> str:
        return f"{self.sender} → {self.target}"


Circuit = Mapping[PartitionEdge, Positions]
"""The edges of a circuit, and where each belongs to it."""
NodeCircuit = Mapping[Node, Positions]
"""The nodes of a circuit, and where each belongs to it."""


def partition_nodes(shape: ModelShape) -> tuple[Node, ...]:
    """Everything that writes to the residual stream, in the order it does: input, heads, MLPs."""
    found: list[Node] = [Input()]
    for layer in range(shape.layers):
        found += [Head(layer, index) for index in range(shape.heads)]
        found += [MLP(layer)] if shape.mlps else []
    return tuple(found)


def partition_targets(shape: ModelShape) -> tuple[Address, ...]:
    """Everything that reads the residual stream, one address per port, in the order it does."""
    found: list[Address] = []
    for layer in range(shape.layers):
        found += [Address(Head(layer, index), (Port.Q,)) for index in range(shape.heads)]
        shared = KVHead if shape.grouped else Head
        found += [
            Address(shared(layer, index), (port,)) for port in (Port.K, Port.V) for index in range(shape.kv_heads)
        ]
        found += [Address(MLP(layer))] if shape.mlps else []
    return (*found, Address(Logits()))


def partition_edges(shape: ModelShape) -> tuple[PartitionEdge, ...]:
    """Every edge of the model: 32,491 in GPT-2 small."""
    return edges_between(partition_nodes(shape), partition_targets(shape), shape)


def edges_between(senders: Sequence[Node], targets: Sequence[Address], shape: ModelShape) -> tuple[PartitionEdge, ...]:
    """The edges from some nodes to some ports, in the order of the ports."""
    return tuple(
        PartitionEdge(sender, target.node, target.ports[0] if target.ports else None)
        for target in targets
        for sender in senders
        if shape.can_reach(sender, target.node)
    )


def circuit_of(graph: CircuitGraph) -> Circuit:
    """The edges that a graph's claims add up to. Nodes that are patched by themselves add none.

    A layer stands for its heads, a head without port for its three; a `through-mlps` edge for every edge on a way
    from its sender to its receiver through the MLPs between them; a chain for its hops.

    Raises:
        InputError: a claim that is no edge of the partition, each with its place in the spec.
    """
    found, problems = read_circuit(graph)
    if problems:
        placed = [f"{f'line {origin.line}' if origin.line else origin.entry}: {text}" for origin, text in problems]
        raise InputError("\n".join(placed))
    return found


def read_circuit(graph: CircuitGraph) -> tuple[Circuit, tuple[tuple[Origin, str], ...]]:
    """As `circuit_of`: the edges, and what is wrong with the claims that are none, each with its place."""
    found: dict[PartitionEdge, Positions] = {}
    problems: dict[tuple[Origin, str], None] = {}
    for claim in graph.claims:
        try:
            for edge, positions in _edges_of(claim, graph.shape):
                found[edge] = joined(found.get(edge, positions), positions)
        except InputError as error:
            problems[claim.origin, str(error)] = None
    return found, tuple(problems)


def circuit_nodes(circuit: Circuit) -> NodeCircuit:
    """The senders of a circuit's edges, each where one of its edges is."""
    found: dict[Node, Positions] = {}
    for edge, positions in circuit.items():
        found[edge.sender] = joined(found.get(edge.sender, positions), positions)
    return found


def joined(a: Positions, b: Positions) -> Positions:
    """The positions of either; () = everywhere."""
    return tuple(dict.fromkeys((*a, *b))) if a and b else ()


def _edges_of(claim: Claim, shape: ModelShape) -> Iterator[tuple[PartitionEdge, Positions]]:
    through = claim.how.path is PathKind.THROUGH_MLPS
    match claim:
        case EdgeClaim(senders, receivers):
            pairs = [(s, s.position, r) for s, r in product(senders, receivers) if shape.can_reach(s.node, r.node)]
        case SetClaim(edges):
            pairs = [(s, s.position, r) for s, r in edges]
        case ChainClaim(hops):
            pairs = [(s, s.position if s is hops[0] else s.output, r) for s, r in pairwise(hops)]
        case NodeClaim():
            pairs = []
    for sender, sent_at, receiver in pairs:
        positions = _meeting(sender, sent_at, receiver)
        direct = list(product(finest_senders(sender.node, shape), _targets(receiver, shape)))
        way = shape.mlps_between(sender.node, receiver.node) if through else ()
        for node, target in _ways(direct, way):
            yield PartitionEdge(node, target.node, target.ports[0] if target.ports else None), positions


def _ways(direct: Sequence[tuple[Node, Address]], mlps: Sequence[int]) -> Iterator[tuple[Node, Address]]:
    """The direct edges, and those to, between and from the MLPs on the way."""
    yield from direct
    steps = [MLP(layer) for layer in mlps]
    for step in steps:
        yield from ((node, Address(step)) for node in dict.fromkeys(node for node, _ in direct))
        yield from ((step, Address(later)) for later in steps if later.layer > step.layer)
        yield from ((step, target) for target in dict.fromkeys(target for _, target in direct))


def _meeting(sender: Address, sent_at: Position | None, receiver: Address) -> Positions:
    """Where an edge acts: the residual stream moves no tokens, so that either end tells the other."""
    if sent_at is not None and receiver.position is not None and sent_at != receiver.position:
        raise InputError(
            f"{sender} → {receiver} names two positions; in a circuit as a whole an edge has one: "
            f"write {receiver.at(sent_at)}"
        )
    position = receiver.position if sent_at is None else sent_at
    return () if position is None else (position,)


def finest_senders(node: Node, shape: ModelShape) -> Iterator[Node]:
    """The senders of the partition that a node stands for.

    Raises:
        InputError: it stands for none.
    """
    match node:
        case Attention(layer):
            yield from (Head(layer, index) for index in range(shape.heads))
        case Neuron() | Residual() | KVHead() | Logits() | Feature() | SaeError():
            raise InputError(f"{node} sends no edge of the finest partition; those are sent by input, heads and MLPs")
        case Input() | Head() | MLP():
            yield node


def _targets(receiver: Address, shape: ModelShape) -> Iterator[Address]:
    node, ports = receiver.node, receiver.ports or ALL_PORTS
    match node:
        case Head(layer, index):
            for port in ports:
                if port is not Port.Q and shape.grouped:
                    shared = KVHead(layer, shape.kv_head(index))
                    raise InputError(
                        f"{node}<{port}> is one query head's view of keys and values that its group shares; "
                        f"in a circuit as a whole write {shared}<{port}>"
                    )
                yield Address(node, (port,))
        case KVHead():
            yield from (Address(node, (port,)) for port in ports if port is not Port.Q)
        case Attention(layer):
            for target in partition_targets(shape):
                if isinstance(target.node, Head | KVHead) and target.node.layer == layer and target.ports[0] in ports:
                    yield target
        case MLP() | Logits():
            yield Address(node)
        case Input() | Neuron() | Residual() | Feature() | SaeError():
            raise InputError(f"{node} receives no edge of the finest partition; heads, MLPs and logits do")
