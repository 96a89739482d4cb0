"""Arcs of a paper's figure -> words: how many edges and experiments they are, and the name of each experiment.

One edge can be an experiment, and so can many: what is joined, a chain and a set have one effect together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuitgraph.drawing.diagram import Arc
from circuitgraph.drawing.text import isolated
from circuitgraph.graph.claims import Claim, EdgeClaim, claim_label


def alone(claim: Claim) -> bool:
    """Whether an experiment is a single edge."""
    return isinstance(claim, EdgeClaim) and len(claim.senders) == len(claim.receivers) == 1


def different(arcs: Iterable[Arc]) -> int:
    """The number of edges: one that several experiments measure is one."""
    return len({(arc.tail, arc.head, arc.ports) for arc in arcs})


def counted(arcs: Sequence[Arc]) -> str:
    """`4 edges`, or `4 edges in 2 experiments` where experiments and edges are not the same."""
    edges, experiments = different(arcs), len({arc.id for arc in arcs})
    text = _plural(edges, "edge")
    if edges == experiments and all(alone(arc.claim) for arc in arcs):
        return text
    return f"{text} in {_plural(experiments, 'experiment')}"


def named(arcs: Iterable[Arc]) -> dict[str, str]:
    """Experiment id → its edge, or all that it patches together."""
    return {
        arc.id: f"{isolated(str(arc.sender))} → {isolated(str(arc.receiver))}"
        if alone(arc.claim)
        else isolated(claim_label(arc.claim))
        for arc in arcs
    }


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
