"""`all:` of a spec × a model's shape -> edges of the finest partition, or why there are none. Pure.

A filter by layer or port leaves out what has none (input, logits; MLPs), unless `senders` or `receivers` name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuitgraph.graph.partition import PartitionEdge, edges_between, partition_nodes, partition_targets
from circuitgraph.graph.rules import reach_problem
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import MLP, Address, Input, Logits, Node, layer_of
from circuitgraph.spec.model import AllSpec, ReceiverKind, SenderKind
from circuitgraph.spec.whole import layers_of

Kinds = Sequence[SenderKind] | Sequence[ReceiverKind]


@dataclass(frozen=True, slots=True)
class Selection:
    """The edges that are selected, in the order of the partition; or what is wrong, each with its key (None = all)."""

    edges: tuple[PartitionEdge, ...] = ()
    problems: tuple[tuple[str | None, str], ...] = ()


def selected_edges(wanted: AllSpec, shape: ModelShape) -> Selection:
    """The edges of a model that `wanted` leaves."""
    kinds = _sender_kinds(wanted), _receiver_kinds(wanted)
    if problems := tuple(_problems(wanted, *kinds, shape)):
        return Selection(problems=problems)
    senders = [node for node in partition_nodes(shape) if _is_meant(node, kinds[0], wanted.sender_layers)]
    targets = [
        target
        for target in partition_targets(shape)
        if _is_meant(target.node, kinds[1], wanted.receiver_layers) and _has_port(target, wanted)
    ]
    edges = edges_between(senders, targets, shape)
    if edges:
        return Selection(edges)
    return Selection(problems=((None, f"this selects no edge: {_reason(senders, targets, shape)}"),))


def _sender_kinds(wanted: AllSpec) -> tuple[SenderKind, ...]:
    if wanted.senders is not None:
        return wanted.senders
    return (SenderKind.HEADS, SenderKind.MLPS) if wanted.sender_layers is not None else tuple(SenderKind)


def _receiver_kinds(wanted: AllSpec) -> tuple[ReceiverKind, ...]:
    if wanted.receivers is not None:
        return wanted.receivers
    if wanted.ports is not None:
        return (ReceiverKind.HEADS,)
    return (ReceiverKind.HEADS, ReceiverKind.MLPS) if wanted.receiver_layers is not None else tuple(ReceiverKind)


def _problems(
    wanted: AllSpec, senders: Sequence[SenderKind], receivers: Sequence[ReceiverKind], shape: ModelShape
) -> Iterator[tuple[str, str]]:
    """Filters that name what the model does not have, or that filter nothing."""
    for key, kinds, layers in (
        ("sender", senders, wanted.sender_layers),
        ("receiver", receivers, wanted.receiver_layers),
    ):
        if "mlps" in (getattr(wanted, f"{key}s") or ()) and not shape.mlps:
            yield f"{key}s", "this model has no MLPs"
        if layers is None:
            continue
        if set(kinds) <= {SenderKind.INPUT, ReceiverKind.LOGITS}:
            yield f"{key}_layers", f"'{key}_layers' has no meaning for {kinds[0]}, which has no layer"
        if outside := [layer for layer in layers_of(layers) if layer >= shape.layers]:
            more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
            message = f"there is no layer {outside[0]}{more}; this model has layers 0 to {shape.layers - 1}"
            yield f"{key}_layers", message
    if wanted.ports is not None and ReceiverKind.HEADS not in receivers:
        yield "ports", f"'ports' has no meaning for {' and '.join(receivers)}; q, k and v are inputs of heads"


def _is_meant(node: Node, kinds: Kinds, layers: tuple[int | str, ...] | None) -> bool:
    layer = layer_of(node)
    return _kind(node) in kinds and (layers is None or layer is None or layer in layers_of(layers))


def _kind(node: Node) -> str:
    match node:
        case Input():
            return SenderKind.INPUT
        case Logits():
            return ReceiverKind.LOGITS
        case MLP():
            return SenderKind.MLPS
        case _:
            return SenderKind.HEADS


def _has_port(target: Address, wanted: AllSpec) -> bool:
    return wanted.ports is None or not target.ports or target.ports[0] in wanted.ports


def _reason(senders: Sequence[Node], targets: Sequence[Address], shape: ModelShape) -> str:
    """Why not even the first of the senders reaches the last of the receivers."""
    if not senders or not targets:
        return f"this model has no such {'receiver' if senders else 'sender'}"
    return reach_problem(shape, senders[0], targets[-1].node) or "nothing is reached"
