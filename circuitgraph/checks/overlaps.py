"""Ends that are changed together at positions that turn out to be one token. Pure: shape and positions, no model.

`graph.rules` refuses joint ends that are the same as written; `END` and `-1`, or `S1` and `S2` in a prompt
where they coincide, are the same only in the prompts. Such a token would be changed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from circuitgraph.checks.places import Places
from circuitgraph.graph import rules
from circuitgraph.graph.claims import ChainClaim, Claim, EdgeClaim, NodeClaim, SetClaim
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Position

Rule = Callable[[ModelShape, Sequence[Address]], str | None]


def overlap_problem(claim: Claim, shape: ModelShape, places: Places) -> str | None:
    """Which two ends of `claim` meet at one token, and in which pairs; None if none do, or it is not known."""
    return next((problem for ends, rule in _joint(claim) if (problem := _meeting(ends, rule, shape, places))), None)


def _joint(claim: Claim) -> Iterator[tuple[Sequence[Address], Rule]]:
    """The ends that are changed together, with the rule of what may not be."""
    match claim:
        case EdgeClaim(senders, receivers):
            yield senders, rules.joint_problem
            yield receivers, rules.receivers_problem
        case NodeClaim(nodes):
            yield nodes, rules.joint_problem
        case SetClaim(edges):
            receivers = list(dict.fromkeys(receiver for _, receiver in edges))
            yield receivers, rules.receivers_problem
            for receiver in receivers:
                yield [s for s, r in edges if r == receiver], rules.joint_problem
        case ChainClaim():
            pass


def _meeting(ends: Sequence[Address], rule: Rule, shape: ModelShape, places: Places) -> str | None:
    positions = list(dict.fromkeys(end.position for end in ends if end.position is not None))
    meetings: dict[frozenset[Position | None], str] = {}
    for a, b in combinations(positions, 2):
        if where := places.meeting(a, b):
            meetings[frozenset((a, b))] = f"{a} and {b} are the same token {where}, which would be changed twice"
    if not meetings:
        return None
    for a, b in combinations(ends, 2):
        why = meetings.get(frozenset((a.position, b.position)))
        if why is not None and rule(shape, [a.at(None), b.at(None)]):
            return f"{a} and {b} cannot be changed together: {why}"
    return None
