"""CircuitGraph (+ rows) -> what of it is drawn: all, or the strongest experiments where there are too many arrows.

The rule: a picture of up to MOST_ARROWS arrows shows everything, faded by rank. Where there would be more, it
shows the experiments with the largest |effect| that make up to so many, and says so; nodes that are patched by
themselves stay. One number for both, so that the 1,001st edge does not take others with it: what the reader
sees first, the strongest in full ink, is the same in both. An unmeasured circuit has no strongest
edges, and is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from circuitgraph.drawing.style import Finding, finding, number
from circuitgraph.errors import InputError
from circuitgraph.graph.claims import CircuitGraph, EdgeClaim, NodeClaim, claim_id

if TYPE_CHECKING:
    from circuitgraph.results.records import Row

MOST_ARROWS = 1000
"""Drawn in under a second; more are a cloud."""


@dataclass(frozen=True)
class Shown:
    """The part of a graph that is drawn, with its rows; `note` says what part, None = all of it."""

    graph: CircuitGraph
    found: Finding
    note: str | None = None


def shown(graph: CircuitGraph, rows: Sequence[Row] | None) -> Shown:
    """Everything, or the strongest of very many.

    Raises:
        InputError: very many edges that are not measured, or rows of another graph.
        NotFiniteError: an effect is NaN or infinite.
    """
    found = finding(graph, rows)
    arrows = sum(1 for _ in graph.arcs())
    if arrows <= MOST_ARROWS:
        return Shown(graph, found)
    if not found.rows:
        raise InputError(
            f"{arrows:,} arrows are too many to draw, and without effects none is stronger than another: "
            f"run the spec and draw the run, which shows the {MOST_ARROWS:,} strongest (.graphml holds all edges)"
        )
    edges = {claim_id(claim): claim for claim in graph.claims if not isinstance(claim, NodeClaim)}
    ranked = up_to(MOST_ARROWS, sorted(edges.keys() & found.rows.keys(), key=found.rank.__getitem__), graph)
    if len(ranked) == len(edges):
        return Shown(graph, found)
    kept = set(ranked)
    part = replace(graph, claims=tuple(c for c in graph.claims if isinstance(c, NodeClaim) or claim_id(c) in kept))
    what = "edges" if all(isinstance(claim, EdgeClaim) for claim in edges.values()) else "edges, chains and sets"
    least = number(abs(found.rows[ranked[-1]].effect))
    note = f"the {len(ranked):,} strongest of {len(edges):,} {what}, by |effect| (all others: at most {least})"
    return Shown(part, finding(part, [row for row in found.rows.values() if row.id in part.by_id]), note)


def up_to(most: int, ranked: Sequence[str], graph: CircuitGraph) -> list[str]:
    """The first experiments that have at most so many arrows together, and the first one in any case."""
    arrows = Counter(claim_id(claim) for _, _, claim in graph.arcs())
    total, kept = 0, list[str]()
    for id_ in ranked:
        total += arrows[id_]
        if kept and total > most:
            break
        kept.append(id_)
    return kept
