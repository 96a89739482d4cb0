"""Which activations of the unpatched runs the fast executor reads, so that no others are kept. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitgraph.execute.spots import input_spots, value_spots
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.sites import Site, SiteKind
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
    Residual,
    SaeError,
)
from circuitgraph.plans.routes import start_of
from circuitgraph.plans.types import Counterfactual, Experiment, Free, Recorded, Value
from circuitgraph.spec.model import BaseRun

FINAL = Site(SiteKind.FINAL)


def needed_sites(experiments: Sequence[Experiment], shape: ModelShape) -> dict[BaseRun, frozenset[Site]]:
    """The sites of each side that experiments without swaps read; the final stream of both is always among them."""
    found: dict[BaseRun, set[Site]] = {side: {FINAL} for side in BaseRun}
    for experiment in experiments:
        other = BaseRun.CORRUPTED if experiment.base is BaseRun.CLEAN else BaseRun.CLEAN
        found[experiment.base].update(_of_base(experiment, shape))
        found[other].update(_of_other(experiment, shape))
    return {side: frozenset(sites) for side, sites in found.items()}


def _of_other(experiment: Experiment, shape: ModelShape) -> Iterator[Site]:
    for write in experiment.writes:
        if isinstance(write, Value) and isinstance(write.source, Counterfactual):
            yield from (spot.site for spot in value_spots(write, shape))


def _of_base(experiment: Experiment, shape: ModelShape) -> Iterator[Site]:
    start = start_of(experiment, shape)
    yield stream_site(start.point, shape)
    first = (start.point + 1) // 2
    yield from (Site(kind, layer) for layer in range(first, shape.layers) for kind in (SiteKind.K, SiteKind.V))
    for write in experiment.writes:
        if isinstance(write, Value):
            yield from (spot.site for spot in value_spots(write, shape))
            if write.address.ports:
                yield from _answering(write.address, shape)
        elif isinstance(write, Recorded):
            yield from _answering(write.address, shape)
    for isolation in experiment.isolations:
        for address in isolation.record:
            yield from _reading(address, shape)
        if isolation.free is Free.MLPS:
            for layer in range(shape.layers if shape.mlps else 0):
                yield from _reading(Address(MLP(layer)), shape)


def _reading(address: Address, shape: ModelShape) -> Iterator[Site]:
    """What tells the input of a node from the change of the stream that it reads."""
    yield stream_site(shape.read_at(address.node), shape)
    yield from _answering(address, shape)


def _answering(address: Address, shape: ModelShape) -> Iterator[Site]:
    """What tells how a node answers to another input."""
    node = address.node
    match node:
        case Head(layer) | KVHead(layer) | Attention(layer):
            yield from (Site(kind, layer) for kind in (SiteKind.Q, SiteKind.K, SiteKind.V, SiteKind.Z))
        case MLP(layer):
            yield Site(SiteKind.MLP_OUT, layer)
        case Neuron(layer):
            yield Site(SiteKind.NEURONS, layer)
        case Residual() | Logits() | Feature() | SaeError():
            yield from (spot.site for spot in input_spots(address, shape))
        case Input():
            pass


def stream_site(point: int, shape: ModelShape) -> Site:
    """Where a point of the residual stream is read."""
    layer, middle = divmod(point, 2)
    if middle:
        return Site(SiteKind.RESID_MID, layer)
    return FINAL if layer == shape.layers else Site(SiteKind.RESID_PRE, layer)
