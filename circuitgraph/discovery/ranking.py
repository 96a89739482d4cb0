"""`effects`: every edge (or node) of the finest partition by its exact effect.

An edge is measured by direct path patching, a node by activation patching (docs/definitions.md); the effect is
the mean over pairs of metric(patched) − metric(base), with base and source as in the spec's `intervention`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuitgraph.discovery.records import Found, in_order
from circuitgraph.graph.claims import Claim, EdgeClaim, Intervention, NodeClaim, claim_id
from circuitgraph.graph.partition import partition_edges, partition_nodes
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.types import Plan
from circuitgraph.spec.model import DiscoverSection, Of


def claims_of(shape: ModelShape, of: Of, how: Intervention) -> tuple[EdgeClaim | NodeClaim, ...]:
    """One claim for each edge or node of a model."""
    if of is Of.NODES:
        return tuple(NodeClaim((Address(node),), how) for node in partition_nodes(shape))
    return tuple(EdgeClaim((Address(edge.sender),), (edge.target,), how) for edge in partition_edges(shape))


def ranking_plan(name: str, claims: Sequence[Claim], shape: ModelShape) -> Plan:
    """Each claim as an experiment of its own."""
    return Plan(name, tuple(experiment_of(claim, shape) for claim in claims))


def rank(
    claims: Sequence[EdgeClaim | NodeClaim], effects: Mapping[str, float], aims: DiscoverSection
) -> tuple[Found, ...]:
    """Everything by |effect|; kept is what exceeds the threshold, at most `aims.most`.

    Args:
        effects: mean effect by experiment id.
    """
    found = [Found(*_ends(claim), effects[claim_id(claim)], kept=False) for claim in claims]
    found.sort(key=lambda one: -one.size)
    limit = len(found) if aims.most is None else aims.most
    return in_order(
        [
            Found(one.sender, one.receiver, one.effect, kept=one.size > aims.threshold and place < limit)
            for place, one in enumerate(found)
        ]
    )


def _ends(claim: EdgeClaim | NodeClaim) -> tuple[str, str | None]:
    match claim:
        case EdgeClaim((sender,), (receiver,)):
            return str(sender), str(receiver)
        case NodeClaim((node,)):
            return str(node), None
        case _:
            raise ValueError(f"{claim} has joined ends")
