"""An experiment as its estimate sees it: which changes meet which gradients; and what cannot be estimated. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import MLP, Address, Feature, Head, KVHead, Neuron, Node, Port, Residual, SaeError
from circuitgraph.plans.types import Experiment, Free, Mean, Recorded, Resample, Swap, Value
from circuitgraph.spec.model import Align, EstimateMethod

_FOUND = (Feature, SaeError)


@dataclass(frozen=True, slots=True)
class Term:
    """The change of some senders meets the gradient at one receiver."""

    senders: tuple[Value, ...]
    receiver: Address
    through: bool = False
    """Whether MLPs on the way respond."""


def terms_of(experiment: Experiment) -> tuple[Term, ...]:
    """The products whose sum estimates an edge or a set of edges; () for a node."""
    found = []
    for isolation in experiment.isolations[:1]:
        senders = tuple(write for write in isolation.writes if isinstance(write, Value))
        found += [Term(senders, address, isolation.free is Free.MLPS) for address in isolation.record]
    for write in experiment.propagate.writes:
        if isinstance(write, Swap):
            kept = write.kept or ((),) * len(write.senders)
            pairs = zip(write.senders, kept, strict=True)
            found.append(Term(tuple(Value(sender, write.source, k) for sender, k in pairs), write.port))
    return tuple(found)


def values_of_node(experiment: Experiment) -> tuple[Value, ...]:
    """What a node experiment replaces; () for others."""
    writes = experiment.propagate.writes
    return tuple(write for write in writes if isinstance(write, Value))


def held(experiment: Experiment, shape: ModelShape) -> tuple[Value | Recorded, ...]:
    """What must not follow while gradients are taken: what is written together, where one of it reaches another."""
    writes = [write for write in experiment.propagate.writes if not isinstance(write, Swap)]
    if len(writes) < 2:
        return ()
    nodes = [write.address.node for write in writes]
    if any(_reaches(a, b, shape) for a in nodes for b in nodes):
        return tuple(writes)
    return ()


def _reaches(a: Node, b: Node, shape: ModelShape) -> bool:
    return a != b and shape.can_reach(a, b)


def why_no_estimate(experiment: Experiment, shape: ModelShape, method: EstimateMethod) -> str | None:
    """Why an experiment cannot be estimated by a method; None if it can."""
    if method is EstimateMethod.EAP and _is_plain(experiment):
        return None
    return next(_reasons(experiment, shape, method), None)


def _is_plain(experiment: Experiment) -> bool:
    """Whether it is an edge from one node to another, of which there may be very many."""
    isolations, written = experiment.isolations, experiment.propagate.writes
    if len(isolations) != 1 or len(written) != 1 or not isinstance(written[0], Recorded):
        return False
    senders, receivers = isolations[0].writes, isolations[0].record
    if len(senders) != 1 or len(receivers) != 1:
        return False
    return not isinstance(senders[0].address.node, _FOUND) and not isinstance(receivers[0].node, _FOUND)


def _reasons(experiment: Experiment, shape: ModelShape, method: EstimateMethod) -> Iterator[str]:
    nodes, terms = values_of_node(experiment), terms_of(experiment)
    if any(isinstance(node, _FOUND) for node in _nodes(experiment)):
        yield "parts of a stream that an SAE finds are measured, not estimated"
    if len(experiment.isolations) > 1:
        yield "a chain has no estimate; estimate its edges"
    if method is EstimateMethod.ATP and terms:
        yield "atp estimates nodes; for edges write method: eap"
    together = held(experiment, shape)
    if shared := next(_shared_heads(together, shape), None):
        yield f"one query head's own view of shared keys or values, joined with others; name the shared head ({shared})"
    if method is EstimateMethod.EAP_IG_EDGES:
        yield from _edge_reasons(experiment, shape)
    if method is EstimateMethod.EAP_IG_INPUTS and any(_by_name(source) for source in experiment.sources):
        yield "eap-ig-inputs needs the source of every token; with align: name there is none"
    for term in terms:
        if term.through and len(term.senders) > 1 and any(_stops_mlps(value.address.node) for value in term.senders):
            yield "joined senders with an MLP or the residual stream among them, through-mlps"
    written = [write for write in experiment.propagate.writes if not isinstance(write, Swap)]
    sent = [value for term in terms for value in term.senders]
    along = {EstimateMethod.EAP_IG_EDGES: written, EstimateMethod.EAP_IG_ACTIVATIONS: [*nodes, *sent]}
    if any(_is_mid(write.address.node) for write in (*together, *along.get(method, ()))):
        yield "the stream between attention and MLP is estimated by eap and eap-ig-inputs, and not joined with others"


def _nodes(experiment: Experiment) -> Iterator[Node]:
    """Every node that is written or recorded."""
    for write in experiment.writes:
        yield from (a.node for a in ((*write.senders, write.port) if isinstance(write, Swap) else (write.address,)))
    yield from (address.node for isolation in experiment.isolations for address in isolation.record)


def _edge_reasons(experiment: Experiment, shape: ModelShape) -> Iterator[str]:
    if any(isinstance(write, Swap) for write in experiment.propagate.writes):
        yield "eap-ig-edges follows one change; edges patched together have several"
    written = [write for write in experiment.propagate.writes if not isinstance(write, Swap)]
    if shared := next(_shared_heads(written, shape), None):
        yield f"eap-ig-edges writes to shared keys or values; name the shared head ({shared})"


def _shared_heads(writes: Iterable[Value | Recorded], shape: ModelShape) -> Iterator[str]:
    """The shared keys or values of which a write means a query head's own view: `a1.kv0<k>`."""
    for write in writes:
        node, ports = write.address.node, write.address.ports
        if not ports and isinstance(write, Recorded):
            ports = (Port.K, Port.V)
        own = [port for port in ports if port in (Port.K, Port.V)]
        if shape.grouped and isinstance(node, Head) and own:
            shared = KVHead(node.layer, shape.kv_head(node.index))
            yield f"{shared}<{','.join(own)}>"


def _is_mid(node: Node) -> bool:
    return isinstance(node, Residual) and node.mid


def _stops_mlps(node: Node) -> bool:
    return isinstance(node, MLP | Neuron | Residual)


def _by_name(source: object) -> bool:
    return isinstance(source, Mean | Resample) and source.reference.align is Align.NAME
