"""CircuitSpec + ModelShape -> CircuitGraph: groups and patterns expanded, every rule checked. No files, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from circuitgraph.errors import Problem, SpecError
from circuitgraph.graph.claims import CircuitGraph, Claim, claim_arrow, claim_id
from circuitgraph.graph.entries import Entries
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.references import References
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Position, Sae
from circuitgraph.spec.model import CircuitSpec
from circuitgraph.spec.source import Loc, SpecSource


def build_graph(
    spec: CircuitSpec,
    shape: ModelShape,
    source: SpecSource | None = None,
    each: Sequence[Position] | None = None,
    saes: Mapping[str, Sae] = MappingProxyType({}),
) -> CircuitGraph:
    """The circuit a spec claims, on a model of this shape.

    Args:
        each: the positions that `@each` stands for in the spec's prompts; None = not known.
        saes: the sparse autoencoders that the spec declares, by name.
        source: where each part of the spec stands in its file (`Reading.source`); None for a spec made in Python.

    Raises:
        SpecError: all that is wrong with references, ports, directions and joint sets.
    """
    graph, problems = expand(spec, shape, source, each, saes)
    if problems:
        raise SpecError(spec.name, problems)
    return graph


def expand(
    spec: CircuitSpec,
    shape: ModelShape,
    source: SpecSource | None = None,
    each: Sequence[Position] | None = None,
    saes: Mapping[str, Sae] = MappingProxyType({}),
) -> tuple[CircuitGraph, tuple[Problem, ...]]:
    """What of the circuit could be built, and what is wrong with the rest."""
    findings = Findings(source)
    references = References(spec.groups, shape, findings, saes)
    entries = Entries(spec, shape, references, findings, each)
    written: list[tuple[Loc, list[Claim]]] = []
    for i, edge in enumerate(spec.edges):
        written.append((("edges", i), list(entries.edge_claims(edge, ("edges", i)))))
    for i, node in enumerate(spec.nodes):
        written.append((("nodes", i), list(entries.node_claims(node, ("nodes", i)))))
    claims = _distinct(written, findings)
    graph = CircuitGraph(spec.name, shape, references.groups, claims, spec.description)
    return graph, tuple(findings.problems)


def _distinct(written: Iterable[tuple[Loc, list[Claim]]], findings: Findings) -> tuple[Claim, ...]:
    """The claims without repetitions, each of which is a problem: its number would be measured and drawn twice."""
    first: dict[str, tuple[Loc, Claim]] = {}
    for loc, claims in written:
        repeated: list[tuple[Loc, Claim]] = []
        for claim in claims:
            earlier = first.setdefault(claim_id(claim), (loc, claim))
            if earlier[1] is not claim:
                repeated.append(earlier)
        if repeated:
            where, claim = repeated[0]
            line = f"on line {claim.origin.line}" if claim.origin.line else f"in {claim.origin.entry}"
            place = "twice in this entry" if where == loc else f"twice, first {line}"
            more = f" (and {len(repeated) - 1} more in this entry)" if len(repeated) > 1 else ""
            findings.add(loc, f"{claim_arrow(claim)} is measured {place}{more}")
    return tuple(claim for _, claim in first.values())
