"""The runs whose gradients an estimate takes, for each method.

    eap, atp             the base run
    eap-ig-inputs        the mean over runs whose input is between base and source
    eap-ig-activations   the mean over runs in which what the senders' layers give is between base and source
    eap-ig-edges         the mean over runs in which the experiment's own change is between nothing and all of it

Means are over the midpoints of `steps` equal parts of the way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from circuitgraph.execute.gradient.changes import together
from circuitgraph.execute.gradient.deltas import Deltas
from circuitgraph.execute.gradient.estimator import Bound, Estimator
from circuitgraph.execute.gradient.pulls import Pulls
from circuitgraph.execute.spots import Spot, input_spots, value_spots
from circuitgraph.models.bridge import Write
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.models.slopes import START
from circuitgraph.nodes import MLP, Address, Input
from circuitgraph.plans.types import Value
from circuitgraph.spec.model import BaseRun, EstimateMethod


def estimate(estimator: Estimator, method: EstimateMethod, steps: int) -> None:
    """Fill the estimates of every experiment of a batch."""
    ways = {
        EstimateMethod.EAP: _at_base,
        EstimateMethod.ATP: _at_base,
        EstimateMethod.EAP_IG_INPUTS: _inputs,
        EstimateMethod.EAP_IG_ACTIVATIONS: _activations,
        EstimateMethod.EAP_IG_EDGES: _own_changes,
    }
    points = [(k + 0.5) / steps for k in range(steps)]
    for base in dict.fromkeys(b.item.experiment.base for b in estimator.bound):
        some = [b for b in estimator.bound if b.item.experiment.base is base]
        ways[method](estimator, base, some, points)


def _grouped(bound: Sequence[Bound], key: Callable[[Bound], Hashable]) -> list[list[Bound]]:
    found: dict[Hashable, list[Bound]] = {}
    for b in bound:
        found.setdefault(key(b), []).append(b)
    return list(found.values())


def _at_base(estimator: Estimator, base: BaseRun, bound: Sequence[Bound], _points: Sequence[float]) -> None:
    for some in _grouped(bound, lambda b: b.held):
        estimator.add(estimator.slopes(base, some, writes=_holding(estimator, some[0])), some)


def _inputs(estimator: Estimator, base: BaseRun, bound: Sequence[Bound], points: Sequence[float]) -> None:
    for some in _grouped(bound, lambda b: (b.held, b.senders[0].source, b.item.draw)):
        source, draw = some[0].senders[0].source, some[0].item.draw
        start = estimator.reads[base][START]
        change = estimator.values(base, draw)(source)(START, None) - start
        for point in points:
            writes = _holding(estimator, some[0])
            run = estimator.slopes(base, some, entering=start + point * change, writes=writes)
            estimator.add(run, some, 1 / len(points))


def _activations(estimator: Estimator, base: BaseRun, bound: Sequence[Bound], points: Sequence[float]) -> None:
    shape = estimator.model.shape

    def sites_of(b: Bound) -> tuple[Site, ...]:
        return tuple(dict.fromkeys(spot.site for value in b.senders for spot in value_spots(value, shape)))

    for some in _grouped(bound, lambda b: (b.held, b.senders[0].source, b.item.draw, sites_of(b))):
        values = estimator.values(base, some[0].item.draw)(some[0].senders[0].source)
        for point in points:
            writes = dict(_holding(estimator, some[0]))
            for site in sites_of(some[0]):
                before = estimator.reads[base][site]
                writes[site] = _leaf(before + point * (values(site, None) - before))
            estimator.add(estimator.slopes(base, some, writes=writes), some, 1 / len(points))


def _own_changes(estimator: Estimator, base: BaseRun, bound: Sequence[Bound], points: Sequence[float]) -> None:
    plain = estimator.slopes(base, bound)
    for b in bound:
        for point in points:
            moved: dict[int, Tensor] = {}
            if b.asked:
                writes, moved = _edge(estimator, base, b, point, plain.values)
            else:
                writes = _node(estimator, base, b, point)
            estimator.add(estimator.slopes(base, [b], writes=writes), [b], 1 / len(points), moved=moved)


def _node(estimator: Estimator, base: BaseRun, b: Bound, point: float) -> dict[Site, Write]:
    """Outputs part of the way to their source."""
    writes: dict[Site, Write] = {}
    for site, edits in estimator.edits_of(b).items():
        before, after = estimator.reads[base][site], estimator.reads[base][site]
        for edit in edits:
            after = edit(after)
        value = before + point * (after - before)
        writes[site] = _puts([(edit.spot, value, edit.where) for edit in edits])
    return writes


def _edge(
    estimator: Estimator, base: BaseRun, b: Bound, point: float, values: Mapping[Site, Tensor]
) -> tuple[dict[Site, Write], dict[int, Tensor]]:
    """Inputs of receivers as they are with part of the senders' change; and the streams they read."""
    model = estimator.model
    deltas = Deltas(model, estimator.batch, estimator.reads, base)
    changes = deltas.stream(b.senders, estimator.values(base, b.item.draw))
    streams = Pulls(model, values, {}, {})
    writes: dict[Site, Write] = {}
    moved: dict[int, Tensor] = {}
    put: dict[Site, list[tuple[Spot, Tensor, Tensor | None]]] = {}
    for asked in b.asked:
        receiver = estimator.receivers[asked.receiver]
        at = model.shape.read_at(receiver.node)
        if asked.through:
            moved |= _followed(estimator, streams, changes, receiver, point)
        else:
            moved[at] = streams.stream(at) + point * together(changes)
        for spot in input_spots(receiver, model.shape):
            where = estimator.batch.mask(receiver.position)
            put.setdefault(spot.site, []).append((spot, _recorded(estimator, spot, moved[at]), where))
    for site, some in put.items():
        writes[site] = _puts(some)
    return writes, moved


def _followed(
    estimator: Estimator, streams: Pulls, changes: Mapping[int, Tensor], receiver: Address, share: float
) -> dict[int, Tensor]:
    """The residual stream at each point up to a receiver, with a share of a change, and MLPs on the way responding."""
    shape, lean = estimator.model.shape, estimator.model.lean
    answering = {shape.read_at(MLP(layer)): layer for layer in shape.mlps_between(Input(), receiver.node)}
    landing = {point: share * change for point, change in changes.items()}
    change, moved = torch.zeros_like(streams.stream(0)), dict[int, Tensor]()
    for point in range(shape.read_at(receiver.node) + 1):
        if point % 2 and (shape.parallel or not shape.mlps):
            continue
        change = change + landing.get(point, 0)
        before = streams.stream(point)
        moved[point] = before + change
        if point in answering:
            layer = answering[point]
            with torch.no_grad():
                answer = lean.mlps[layer](moved[point]) - lean.mlps[layer](before)
            lands = shape.written_at(MLP(layer))
            landing[lands] = landing.get(lands, 0) + answer
    return moved


def _recorded(estimator: Estimator, spot: Spot, stream: Tensor) -> Tensor:
    """A site's activation from the stream that its layer reads."""
    lean, layer = estimator.model.lean, spot.site.layer
    with torch.no_grad():
        match spot.site.kind:
            case SiteKind.Q | SiteKind.K | SiteKind.V:
                return lean.attention[layer].ports(stream, spot.site.kind.value)[spot.site.kind.value]
            case SiteKind.MLP_IN:
                return lean.mlps[layer].norm(stream)
            case SiteKind.NEURONS:
                return lean.mlps[layer].neurons(lean.mlps[layer].norm(stream))
            case _:
                return stream


def _holding(estimator: Estimator, b: Bound) -> dict[Site, Write]:
    """What is written together does not follow what is before it."""
    slices: dict[Site, list[tuple[Spot, Tensor | None]]] = {}
    for write in b.held:
        where = estimator.batch.mask(write.address.position, write.kept if isinstance(write, Value) else ())
        shape = estimator.model.shape
        spots = value_spots(write, shape) if isinstance(write, Value) else input_spots(write.address, shape)
        for spot in spots:
            slices.setdefault(spot.site, []).append((spot, where))
    return {site: _detached(some) for site, some in slices.items()}


def _detached(slices: Sequence[tuple[Spot, Tensor | None]]) -> Write:
    def write(old: Tensor) -> Tensor:
        new = old
        for spot, where in slices:
            new = spot.put(new, old.detach(), where)
        return new

    return write


def _puts(some: Sequence[tuple[Spot, Tensor, Tensor | None]]) -> Write:
    def write(old: Tensor) -> Tensor:
        new = old
        for spot, value, where in some:
            new = spot.put(new, value, where)
        return new

    return write


def _leaf(value: Tensor) -> Write:
    return lambda _old: value.detach().requires_grad_()
