"""Where the effect of an experiment begins, and whether that can be computed from there alone. Pure.

The residual stream has 2·layers + 1 points (`graph.shape`). An experiment whose writes change the stream first at
point p leaves everything before p as it is in the base run, so that only what comes after p has to run again:

    landed   the change of the stream at one point is known: an output is replaced, an MLP, a neuron or the stream
             itself is a receiver
    head     one head reads another q, k or v: its z is mixed again, and lands where heads write
    edited   anything else: from before the first layer that is written to, each write at its own place
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

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
    Port,
    Residual,
    SaeError,
)
from circuitgraph.plans.types import Experiment, Recorded, Swap, Value


class Kind(StrEnum):
    """How an experiment begins."""

    LANDED = "landed"
    HEAD = "head"
    EDITED = "edited"


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """Where the run of stage 3 begins: a point of the residual stream; for `edited`, the one before a block."""

    point: int
    kind: Kind


def slow_reason(experiment: Experiment, shape: ModelShape) -> str | None:
    """Why an experiment has to be run literally; None if the fast executor can run it."""
    if not experiment.propagate.writes:
        return "nothing is changed"
    if any(isinstance(write, Swap) for write in experiment.propagate.writes):
        return "edges patched together depend on what the run itself computes"
    if any(isinstance(address.node, Feature | SaeError) for address in _ends(experiment)):
        return "parts of the stream that a sparse autoencoder takes apart"
    if any(isinstance(w.address.node, Attention) and Port.PATTERN in w.address.ports for w in _plain(experiment)):
        return "the attention weights of a whole layer"
    for isolation in experiment.isolations:
        written = [write.address.node for write in isolation.writes if isinstance(write, Recorded)]
        if any(isinstance(node, Attention) for node in written):
            return "a whole attention layer inside a chain"
        if {a.node for a in isolation.record} & {w.address.node for w in isolation.writes}:
            return "a joined sender is a joined receiver as well"
    if start_of(experiment, shape).kind is Kind.EDITED and any(_own_view(w, shape) for w in _plain(experiment)):
        return "one query head's own view of shared keys or values, joined with other receivers"
    return None


def _ends(experiment: Experiment) -> Iterator[Address]:
    """What is written and recorded, without swaps."""
    yield from (write.address for write in experiment.writes if not isinstance(write, Swap))
    yield from (address for isolation in experiment.isolations for address in isolation.record)


def start_of(experiment: Experiment, shape: ModelShape) -> Start:
    """Where the run of stage 3 begins. The experiment has no swaps."""
    writes = _plain(experiment)
    if len(writes) == 1 and _mixes_again(writes[0]):
        return Start(shape.written_at(writes[0].address.node), Kind.HEAD)
    points = {_landing(write, shape) for write in writes}
    if len(points) == 1 and (point := points.pop()) is not None:
        return Start(point, Kind.LANDED)
    return Start(min(2 * _block(write, shape) for write in writes), Kind.EDITED)


def _plain(experiment: Experiment) -> list[Value | Recorded]:
    return [write for write in experiment.propagate.writes if not isinstance(write, Swap)]


def _mixes_again(write: Value | Recorded) -> bool:
    """Whether exactly one head's inputs are written."""
    address = write.address
    inputs = bool(address.ports) or isinstance(write, Recorded)
    return isinstance(address.node, Head) and inputs and Port.PATTERN not in address.ports


def _landing(write: Value | Recorded, shape: ModelShape) -> int | None:
    """The point at which a write is a known change of the stream; None if it is one of an attention layer's inputs."""
    node = write.address.node
    match node:
        case Head() | KVHead() | Attention():
            replaced = isinstance(write, Value) and not write.address.ports
            return shape.written_at(node) if replaced else None
        case Logits():
            return 2 * shape.layers
        case Input() | MLP() | Neuron() | Residual() | Feature() | SaeError():
            return shape.written_at(node)


def _block(write: Value | Recorded, shape: ModelShape) -> int:
    """The block before which nothing has changed yet; one more than there are for the final stream."""
    node = write.address.node
    match node:
        case Input():
            return 0
        case Logits():
            return shape.layers
        case _:
            return node.layer


def _own_view(write: Value | Recorded, shape: ModelShape) -> bool:
    """Whether a query head's keys or values are written that it shares with others."""
    if not shape.grouped or not isinstance(write.address.node, Head):
        return False
    ports = write.address.ports or (() if isinstance(write, Value) else (Port.K,))
    return Port.K in ports or Port.V in ports
