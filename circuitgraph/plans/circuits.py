"""A circuit as a whole -> one Experiment: a set of swaps, and nothing that path patching does not have. Pure.

only      every edge outside the circuit carries its sender's source write, every edge inside the current one
without   the other way round: the circuit's edges carry the source write
"""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType

from circuitgraph.graph.claims import Resample, Source
from circuitgraph.graph.partition import (
    Circuit,
    NodeCircuit,
    PartitionEdge,
    Positions,
    partition_nodes,
    partition_targets,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Position
from circuitgraph.plans.encode import experiment_to_json
from circuitgraph.plans.types import Experiment, Propagate, Swap, Value, Write
from circuitgraph.spec.model import BaseRun


def only(circuit: Circuit, shape: ModelShape, label: str, base: BaseRun, source: Source) -> Experiment:
    """The circuit alone: everything outside carries the source."""
    swaps: list[Write] = []
    nodes = partition_nodes(shape)
    for target in partition_targets(shape):
        port = target.ports[0] if target.ports else None
        senders: list[Address] = []
        kept: list[Positions] = []
        for node in nodes:
            inside = circuit.get(PartitionEdge(node, target.node, port))
            if shape.can_reach(node, target.node) and inside != ():
                senders.append(Address(node))
                kept.append(inside or ())
        if senders:
            swaps.append(Swap(tuple(senders), target, source, tuple(kept) if any(kept) else ()))
    return _experiment(label, base, source, tuple(swaps))


def without(circuit: Circuit, shape: ModelShape, label: str, base: BaseRun, source: Source) -> Experiment:
    """The circuit knocked out: its edges carry the source, all others stay."""
    swaps: list[Write] = []
    for target in partition_targets(shape):
        port = target.ports[0] if target.ports else None
        senders = [
            Address(edge.sender, (), position)
            for edge, positions in circuit.items()
            if (edge.receiver, edge.port) == (target.node, port)
            for position in _each(positions)
        ]
        if senders:
            swaps.append(Swap(tuple(senders), target, source))
    return _experiment(label, base, source, tuple(swaps))


def only_nodes(circuit: NodeCircuit, shape: ModelShape, label: str, base: BaseRun, source: Source) -> Experiment:
    """The nodes of the circuit stay, at their positions; all others have their source values."""
    outside = [node for node in partition_nodes(shape) if circuit.get(node) != ()]
    values = tuple(Value(Address(node), source, circuit.get(node, ())) for node in outside)
    return _experiment(label, base, source, values)


def without_nodes(
    circuit: NodeCircuit,
    shape: ModelShape,
    label: str,
    base: BaseRun,
    source: Source,
    keep: NodeCircuit = MappingProxyType({}),
) -> Experiment:
    """The nodes of the circuit have their source values, at their positions; all others stay, and so does `keep`."""
    values = [
        Value(Address(node, (), position), source, keep.get(node, ()))
        for node in partition_nodes(shape)
        if node in circuit and keep.get(node) != ()
        for position in _each(circuit[node])
    ]
    return _experiment(label, base, source, tuple(values))


def _each(positions: Positions) -> tuple[Position | None, ...]:
    return positions or (None,)


def _experiment(label: str, base: BaseRun, source: Source, writes: tuple[Write, ...]) -> Experiment:
    repeat = source.draws if isinstance(source, Resample) else 1
    made = Experiment("", "circuit", label, base, (), Propagate(writes), repeat)
    content = {name: value for name, value in experiment_to_json(made).items() if name not in ("id", "label")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    return Experiment(digest.hexdigest()[:12], "circuit", label, base, (), Propagate(writes), repeat)
