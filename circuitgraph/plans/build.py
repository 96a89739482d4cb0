"""CircuitGraph -> Plan. Pure: no torch, no files."""

from __future__ import annotations

import itertools

from circuitgraph.graph.claims import (
    ChainClaim,
    CircuitGraph,
    Claim,
    EdgeClaim,
    NodeClaim,
    SetClaim,
    claim_id,
    claim_label,
)
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address
from circuitgraph.plans.types import (
    Experiment,
    Free,
    Isolate,
    Plan,
    Propagate,
    Recorded,
    Resample,
    Swap,
    Value,
)
from circuitgraph.spec.model import PathKind, ReceiverMode


def build_plan(graph: CircuitGraph) -> Plan:
    """One experiment per claim, in the order of the spec."""
    return Plan(graph.name, tuple(experiment_of(claim, graph.shape) for claim in graph.claims))


def experiment_of(claim: Claim, shape: ModelShape) -> Experiment:
    """The stages that measure one claim on a model of this shape."""
    match claim:
        case EdgeClaim(_, receivers) if len(receivers) > 1 and claim.how.receivers is ReceiverMode.ADD:
            return _experiment(claim, (), _additions(claim, shape))
        case EdgeClaim(senders, receivers):
            isolate = Isolate(tuple(Value(s, claim.how.source) for s in senders), _free(claim), receivers)
            return _experiment(claim, (isolate,), tuple(Recorded(r, 0) for r in receivers))
        case NodeClaim(nodes):
            return _experiment(claim, (), tuple(Value(node, claim.how.source) for node in nodes))
        case ChainClaim(hops):
            return _experiment(claim, _hops(claim, hops), (Recorded(hops[-1], len(hops) - 2),))
        case SetClaim():
            return _experiment(claim, (), _swaps(claim))


def _experiment(
    claim: Claim, isolations: tuple[Isolate, ...], writes: tuple[Value | Recorded | Swap, ...]
) -> Experiment:
    source = claim.how.source
    return Experiment(
        id=claim_id(claim),
        kind=claim.kind,
        label=claim_label(claim),
        base=claim.how.base,
        isolations=isolations,
        propagate=Propagate(writes),
        repeat=source.draws if isinstance(source, Resample) else 1,
    )


def _free(claim: Claim) -> Free:
    return Free.MLPS if claim.how.path is PathKind.THROUGH_MLPS else Free.NONE


def _hops(claim: ChainClaim, hops: tuple[Address, ...]) -> tuple[Isolate, ...]:
    """Each hop isolated in turn: what the last hop recorded is written, the next input recorded."""
    first = Isolate((Value(hops[0], claim.how.source),), _free(claim), (hops[1],))
    later = (
        Isolate((Recorded(here, step),), _free(claim), (there,))
        for step, (here, there) in enumerate(itertools.pairwise(hops[1:]))
    )
    return (first, *later)


def _additions(claim: EdgeClaim, shape: ModelShape) -> tuple[Swap, ...]:
    """One swap per joined receiver, with the joined senders that come before it."""
    senders = {r: tuple(s for s in claim.senders if shape.can_reach(s.node, r.node)) for r in claim.receivers}
    return tuple(Swap(before, receiver, claim.how.source) for receiver, before in senders.items() if before)


def _swaps(claim: SetClaim) -> tuple[Swap, ...]:
    """One swap per receiver, with all its senders in the set."""
    senders: dict[Address, list[Address]] = {}
    for sender, receiver in claim.edges:
        senders.setdefault(receiver, []).append(sender)
    return tuple(Swap(tuple(by), receiver, claim.how.source) for receiver, by in senders.items())
