"""A circuit as a whole -> one Experiment: a set of swaps, and nothing that path patching does not have. Pure.

only      every edge outside the circuit carries its sender's source write, every edge inside the current one
without   the other way round: the circuit's edges carry the source write
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from types import MappingProxyType

from circuitgraph.graph.claims import Resample, Source, source_content
from circuitgraph.graph.partition import (
    Circuit,
    NodeCircuit,
    PartitionEdge,
    Positions,
    partition_nodes,
    partition_targets,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Node, Position
from circuitgraph.plans.types import Experiment, Propagate, Swap, Value, Write
from circuitgraph.spec.model import BaseRun


def only(circuit: Circuit, shape: ModelShape, label: str, base: BaseRun, source: Source) -> Experiment:
    """The circuit alone: everything outside carries the source."""
    inside: dict[Address, dict[Node, Positions]] = {}
    for edge, positions in circuit.items():
        inside.setdefault(edge.target, {})[edge.sender] = positions
    swaps: list[Write] = []
    for target, everyone in _partition(shape):
        own = inside.get(target, {})
        senders = tuple(sender for sender in everyone if own.get(sender.node) != ()) if own else everyone
        kept = tuple(own.get(sender.node, ()) for sender in senders) if own else ()
        if senders:
            swaps.append(Swap(senders, target, source, kept if any(kept) else ()))
    return _experiment(("only", circuit), shape, label, base, source, tuple(swaps))


@lru_cache(maxsize=4)
def _partition(shape: ModelShape) -> tuple[tuple[Address, tuple[Address, ...]], ...]:
    """Every receiver of the finest partition with its senders: a large model has tens of thousands of edges."""
    nodes = partition_nodes(shape)
    return tuple(
        (target, tuple(Address(node) for node in nodes if shape.can_reach(node, target.node)))
        for target in partition_targets(shape)
    )


def without(circuit: Circuit, shape: ModelShape, label: str, base: BaseRun, source: Source) -> Experiment:
    """The circuit knocked out: its edges carry the source, all others stay."""
    senders: dict[Address, list[Address]] = {}
    for edge, positions in circuit.items():
        senders.setdefault(edge.target, []).extend(Address(edge.sender, (), position) for position in _each(positions))
    ordered = [target for target, _ in _partition(shape) if target in senders]
    swaps = tuple(Swap(tuple(senders[target]), target, source) for target in ordered)
    return _experiment(("without", circuit), shape, label, base, source, swaps)


def only_nodes(circuit: NodeCircuit, shape: ModelShape, label: str, base: BaseRun, source: Source) -> Experiment:
    """The nodes of the circuit stay, at their positions; all others have their source values."""
    outside = [node for node in partition_nodes(shape) if circuit.get(node) != ()]
    values = tuple(Value(Address(node), source, circuit.get(node, ())) for node in outside)
    return _experiment(("only nodes", circuit), shape, label, base, source, values)


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
    return _experiment(("without nodes", circuit, keep), shape, label, base, source, tuple(values))


def _each(positions: Positions) -> tuple[Position | None, ...]:
    return positions or (None,)


def _experiment(
    content: tuple[str | Circuit | NodeCircuit, ...],
    shape: ModelShape,
    label: str,
    base: BaseRun,
    source: Source,
    writes: tuple[Write, ...],
) -> Experiment:
    """`content` decides the writes of a shape: the rule and the circuit, which its id hashes, and not all writes."""
    repeat = source.draws if isinstance(source, Resample) else 1
    parts = [part if isinstance(part, str) else sorted(map(_described, part.items())) for part in content]
    decisive = [parts, asdict(shape), base.value, source_content(source)]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode())
    return Experiment(digest.hexdigest()[:12], "circuit", label, base, (), Propagate(writes), repeat)


def _described(item: tuple[PartitionEdge | Node, Positions]) -> str:
    part, positions = item
    return f"{part}@{','.join(sorted(map(str, positions)))}" if positions else str(part)
