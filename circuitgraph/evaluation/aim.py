"""Checked spec -> Aim: which circuit is evaluated, against what, and the experiments that do it. No torch.

A circuit is made of parts: edges of the finest partition (`of: edges`), or nodes (`of: nodes`), each at some
positions or at all. Everything that is wrong with `circuit:` in a spec is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from circuitgraph.checks import Checked
from circuitgraph.checks.needs import check_reference, check_sources
from circuitgraph.checks.places import Places
from circuitgraph.errors import InputError, SpecError
from circuitgraph.graph.claims import (
    CircuitGraph,
    Counterfactual,
    EdgeClaim,
    Group,
    Intervention,
    Mean,
    NodeClaim,
    Resample,
    Source,
)
from circuitgraph.graph.entries import needs_reference, source_of
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.partition import (
    NodeCircuit,
    PartitionEdge,
    Positions,
    circuit_nodes,
    finest_senders,
    joined,
    partition_edges,
    partition_nodes,
    read_circuit,
)
from circuitgraph.graph.references import References
from circuitgraph.graph.rules import sender_problem
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address, Input, Node
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.circuits import only, only_nodes, without, without_nodes
from circuitgraph.plans.types import Experiment
from circuitgraph.spec.model import Align, BaseRun, Of, SourceKind
from circuitgraph.spec.source import Loc

Part = PartitionEdge | Node
"""An edge or a node."""
Parts = Mapping[Part, Positions]
"""Some edges or some nodes, each with where it belongs to the circuit; () = at every token."""


def part_name(part: Part, positions: Positions) -> str:
    """`a0.h1 → a2.h0<v> @S2`, `a0.h1 @S2, END`."""
    return f"{part} @{', '.join(map(str, positions))}" if positions else str(part)


@dataclass(frozen=True)
class Aim:
    """The circuit of a spec, and how it is measured.

    Attributes:
        circuit: its parts, without nodes that are kept anyway.
        keep: of nodes: what is never knocked out, in no run.
    """

    name: str
    of: Of
    base: BaseRun
    source: Source
    shape: ModelShape
    circuit: Parts
    keep: NodeCircuit
    groups: tuple[Group, ...]

    @cached_property
    def every(self) -> tuple[Part, ...]:
        """All parts of the model, but for nodes that are kept at every token."""
        if self.of is Of.EDGES:
            return partition_edges(self.shape)
        return tuple(node for node in partition_nodes(self.shape) if self.keep.get(node) != ())

    @property
    def empty_is_other(self) -> bool:
        """Whether the empty circuit is the other run itself: everything carries the other prompt's values."""
        return isinstance(self.source, Counterfactual) and not self.keep

    def alone(self, parts: Parts, label: str) -> Experiment:
        """These parts (and what is kept) stay; everything else carries the source."""
        how = (self.shape, label, self.base, self.source)
        if self.of is Of.EDGES:
            return only({e: at for e, at in parts.items() if isinstance(e, PartitionEdge)}, *how)
        nodes: dict[Node, Positions] = dict(self.keep)
        for node, at in parts.items():
            if not isinstance(node, PartitionEdge):
                nodes[node] = joined(nodes.get(node, at), at)
        return only_nodes(nodes, *how)

    def knocked_out(self, label: str) -> Experiment:
        """The circuit carries the source; everything else stays."""
        how = (self.shape, label, self.base, self.source)
        if self.of is Of.EDGES:
            return without({e: at for e, at in self.circuit.items() if isinstance(e, PartitionEdge)}, *how)
        nodes = {n: at for n, at in self.circuit.items() if not isinstance(n, PartitionEdge)}
        return without_nodes(nodes, *how, keep=self.keep)

    def single(self, part: Part) -> Experiment:
        """The effect of one part by itself: path patching of an edge (direct), patching of a node."""
        how = Intervention(base=self.base, source=self.source)
        if isinstance(part, PartitionEdge):
            return experiment_of(EdgeClaim((Address(part.sender),), (part.target,), how), self.shape)
        return experiment_of(NodeClaim((Address(part),), how), self.shape)


def aim_of(checked: Checked) -> Aim:
    """What of a checked spec is evaluated. What depends on prompts is checked where they could be read.

    Raises:
        SpecError: everything that is wrong with the circuit, with its places in the file.
        InputError: there is no circuit.
    """
    spec, findings = checked.spec, Findings(checked.source)
    section = spec.circuit
    base = section.base or spec.intervention.base
    source = source_of(spec, section.source or spec.intervention.source)
    _check_source(checked, base, source, findings)
    keep = _kept(checked, findings)
    edges, problems = read_circuit(checked.graph)
    for origin, message in problems:
        findings.add_at(origin, message)
    if findings.problems:
        raise SpecError(str(checked.path or spec.name), findings.problems)
    if not edges:
        raise InputError(f"{spec.name}: nothing to evaluate: a circuit is what edges: add up to, and there are none")
    parts: Parts = dict(edges.items())
    if section.of is Of.NODES:
        parts = {node: at for node, at in circuit_nodes(edges).items() if keep.get(node) != ()}
        if not parts:
            raise InputError(f"{spec.name}: nothing to evaluate: keep holds every node of the circuit")
    return Aim(spec.name, section.of, base, source, checked.shape, parts, keep, checked.graph.groups)


def _check_source(checked: Checked, base: BaseRun, source: Source, findings: Findings) -> None:
    """Note what base and source of the circuit need and the spec does not have."""
    spec, given = checked.spec, checked.spec.circuit.source
    place: Loc = ("circuit", "source") if given else ("intervention", "source")
    if isinstance(source, Mean | Resample):
        kind = SourceKind.MEAN if isinstance(source, Mean) else SourceKind.RESAMPLE
        if spec.intervention.reference is None:
            findings.add(place, needs_reference(kind))
            return
        if source.reference.align is Align.NAME:
            message = "align: name gives values at named positions only, and a circuit as a whole needs them everywhere"
            findings.add(("intervention", "reference", "align"), f"{message}; use align: position or align: pooled")
    if checked.prompts is None:
        return
    pretended = NodeClaim((Address(Input()),), Intervention(base=base, source=source))
    graph = CircuitGraph(spec.name, checked.shape, (), (pretended,))
    check_sources(spec.prompts, graph, checked.prompts, findings)
    if spec.intervention.reference is not None and checked.reference is not None:
        check_reference(spec.intervention.reference, graph, checked.prompts, checked.reference, findings)


def _kept(checked: Checked, findings: Findings) -> NodeCircuit:
    """The nodes of `circuit.keep`, layers taken apart; what is wrong with them is noted."""
    spec, section = checked.spec, checked.spec.circuit
    if section.keep and section.of is Of.EDGES:
        findings.add(
            ("circuit", "keep"),
            "keep says which nodes are never knocked out, and this circuit is one of edges; "
            "leave it out, or write of: nodes",
        )
        return {}
    references = References(spec.groups, checked.shape, findings, checked.saes.nodes)
    places = Places(checked.prompts)
    kept: dict[Node, Positions] = {}
    for i, text in enumerate(section.keep):
        for member in references.resolve(text, ("circuit", "keep", i)):
            address = member.address
            try:
                nodes = tuple(finest_senders(address.node, checked.shape))
            except InputError as error:
                nodes, problem = (), str(error)
            else:
                problem = sender_problem(checked.shape, address)
                problem = problem or (places.problem_with(address.position) if address.position else None)
            if problem:
                findings.add(("circuit", "keep", i), problem)
                break
            at = () if address.position is None else (address.position,)
            kept.update({node: joined(kept.get(node, at), at) for node in nodes})
    return kept
