"""RunResult -> ScoredGraph: its effects as scores of EAP-IG's edges, and what of a run has no place there."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.graph.claims import ChainClaim, Claim, EdgeClaim, NodeClaim, SetClaim, claim_arrow
from circuitgraph.graph.partition import circuit_of
from circuitgraph.graph.shape import ModelShape
from circuitgraph.interchange.records import (
    MORE_IS_BETTER,
    Direction,
    Edge,
    Mark,
    ScoredGraph,
    Sizes,
    all_nodes,
    nodes_of,
)
from circuitgraph.interchange.shared import of_query_heads
from circuitgraph.nodes import MLP, Address, Head, Input, KVHead, Logits, Port
from circuitgraph.results.records import Row, RunResult
from circuitgraph.spec.model import PathKind

MEANINGS = {
    Direction.EFFECT: "score = metric(edge patched) − metric(base run), the mean over the prompts",
    Direction.IMPORTANCE: "score = metric(base run) − metric(edge patched), the mean over the prompts: positive where "
    "the edge helps",
    Direction.UNKNOWN: "the file that these scores come from does not say which difference they are",
}
POSITIONS = "positions"
"""Under this key a file says that the circuit had positions, which it cannot hold."""
NOT_LISTED = "an edge that is not listed was not measured; EAP-IG takes it as outside, with score 0"

Left = Mapping[str, Sequence[str]]
"""Why experiments have no place in a file -> their arrows."""


def metric_of(result: RunResult, metric: str | None) -> str:
    """The label of the metric that is meant.

    Raises:
        InputError: the run has no such metric.
    """
    if metric is None:
        return result.metrics[0]
    if metric not in result.metrics:
        raise InputError(f"'{metric}' is no metric of this run{did_you_mean(metric, result.metrics)}")
    return metric


def scored(result: RunResult, *, metric: str | None = None) -> tuple[ScoredGraph, Left]:
    """The effects of a run as scores, all measured edges in the graph; and what has no place there, by reason.

    Raises:
        InputError: no such metric; nothing has a place; the edges were patched in different ways.
    """
    name = metric_of(result, metric)
    shape = result.graph.shape
    edges: dict[Edge, Mark] = {}
    rows: list[Row] = []
    left: dict[str, list[str]] = {}
    for row in result.rows:
        if row.metric != name:
            continue
        claim = result.graph.by_id[row.id]
        reason = _refusal(claim, shape)
        edge = None if reason or not isinstance(claim, EdgeClaim) else _edge_of(claim)
        if edge is not None and edge in edges:
            reason = "the same edge, measured in two ways: leave one out of the spec"
        if reason or edge is None:
            left.setdefault(reason or "", []).append(claim_arrow(claim))
            continue
        edges[edge] = Mark(row.effect, True)
        rows.append(row)
    if rows:
        _refuse_mixed(rows)
    sizes = sizes_of_run(shape)
    every = dict.fromkeys(all_nodes(sizes), Mark())
    about = {**_about(result, name), **({"base": rows[0].base, "source": rows[0].source} if rows else {})}
    about |= {"path": "direct", "n": rows[0].n, "executor": rows[0].executor} if rows else {}
    graph = ScoredGraph(sizes, edges, nodes_of(set(edges), every), about)
    return graph.told(Direction.EFFECT), left


def membership(result: RunResult) -> ScoredGraph:
    """The run's edges as one circuit, without scores: groups, layers, chains and paths through MLPs taken apart.

    An edge at one position is the edge at every position there. Shared keys and values are those of each of their
    query heads.

    Raises:
        InputError: an entry is no edge of the partition.
    """
    shape = result.graph.shape
    circuit = circuit_of(result.graph)
    inside = {one for edge in circuit for one in of_query_heads(Edge(edge.sender, edge.target), shape)}
    if not inside:
        raise InputError(
            f"{result.graph.name} has no edges: nodes that are patched by themselves are no circuit of edges"
        )
    sizes = sizes_of_run(shape)
    positions = any(circuit.values())
    about = _about(result, result.metrics[0])
    about["meaning"] = "which edges belong to the circuit; no scores"
    if positions:
        about[POSITIONS] = "named positions are left out: here an edge is in the circuit at every token"
    edges = dict.fromkeys(sorted(inside, key=str), Mark(None, True))
    return ScoredGraph(sizes, edges, nodes_of(inside, dict.fromkeys(all_nodes(sizes), Mark())), about)


def sizes_of_run(shape: ModelShape) -> Sizes:
    """What EAP-IG's `cfg` holds of a model."""
    return Sizes(shape.layers, shape.heads, shape.parallel, shape.d_model)


def as_importance(graph: ScoredGraph, metric: str) -> ScoredGraph:
    """Scores as MIB ranks them: positive where patching the edge makes the metric smaller.

    Raises:
        InputError: it is not known of the metric that more is better, or the run that is patched is not the clean one.
    """
    if graph.direction is Direction.UNKNOWN:
        return graph
    if metric not in MORE_IS_BETTER:
        raise InputError(
            f"in MIB a higher score is a more important edge, and of '{metric}' it is not known that more is better; "
            f"choose a metric of which it is ({', '.join(MORE_IS_BETTER)}), or write the effects as they are with "
            f"direction {Direction.EFFECT}"
        )
    if graph.about.get("base", "clean") != "clean":
        raise InputError(
            "MIB's scores say what patching an edge does to the clean run, and this run patched the corrupted one; "
            f"measure with base: clean, or write the effects as they are with direction {Direction.EFFECT}"
        )
    return graph.turned(Direction.IMPORTANCE)


def refuse(left: Left, name: str, to: str, ways: Sequence[str]) -> None:
    """One message with everything that has no place in a format, and what to do.

    Raises:
        InputError: there is something.
    """
    if left:
        number = sum(map(len, left.values()))
        lines = [f"{number:,} experiments of {name} have no place in {to}:", *told(left), *ways]
        raise InputError("\n".join(lines))


def told(left: Left) -> list[str]:
    """A line for each reason: how many, why, and which."""
    lines = []
    for reason, arrows in left.items():
        some = ", ".join(arrows[:3]) + (", …" if len(arrows) > 3 else "")
        lines.append(f"  {len(arrows):,} {reason} ({textwrap.shorten(some, 160, placeholder='…')})")
    return lines


def _refusal(claim: Claim, shape: ModelShape) -> str | None:
    """Why EAP-IG's graph has no such edge; None if it has."""
    match claim:
        case NodeClaim():
            return "patch nodes: only edges have scores there"
        case ChainClaim():
            return "are chains: there each edge is one hop"
        case SetClaim():
            return "are sets of edges, measured together: there each edge has its own score"
        case EdgeClaim(senders, receivers) if len(senders) > 1 or len(receivers) > 1:
            return "join several senders or receivers in one number: measure them with join: none"
        case EdgeClaim((sender,), (receiver,)):
            return _refused_ends(sender, receiver, claim, shape)
        case _:
            return "are of a kind that is not known there"


def _refused_ends(sender: Address, receiver: Address, claim: EdgeClaim, shape: ModelShape) -> str | None:
    if sender.position is not None or receiver.position is not None:
        return "are at a position: there an edge is at every token, which is another number; measure them without '@'"
    if not isinstance(sender.node, Input | Head | MLP) or not isinstance(receiver.node, Head | KVHead | MLP | Logits):
        return "do not go from input, a head or an MLP to a head, an MLP or logits"
    if isinstance(receiver.node, KVHead):
        return "reach keys or values that query heads share; there each query head has its own: a9.h6<k>, not a9.kv2<k>"
    if isinstance(receiver.node, Head) and (len(receiver.ports) != 1 or receiver.ports[0] is Port.PATTERN):
        return "reach several inputs of a head, or its pattern; there an edge reaches <q>, <k> or <v>"
    if claim.how.path is PathKind.THROUGH_MLPS and shape.mlps_between(sender.node, receiver.node):
        return "go through MLPs; there an edge is the direct one: measure it with path: direct"
    return None


def _edge_of(claim: EdgeClaim) -> Edge:
    receiver = claim.receivers[0]
    return Edge(claim.senders[0].node, Address(receiver.node, receiver.ports))


def _refuse_mixed(rows: Sequence[Row]) -> None:
    for what, values in (
        ("base", {row.base for row in rows}),
        ("source", {row.source for row in rows}),
        ("executor", {_measured(row.executor) for row in rows}),
    ):
        if len(values) > 1:
            raise InputError(
                f"the edges differ in {what} ({', '.join(sorted(values))}), and a file has one for all: "
                "export runs of one kind each"
            )


def _measured(executor: str) -> str:
    """Exact effects are one kind, whoever measured them; each method of estimation another."""
    return "measured" if executor in ("fast", "literal") else executor


def _about(result: RunResult, metric: str) -> dict[str, Any]:
    """Where the numbers come from, and what it takes to measure them again, in JSON types."""
    kept: Mapping[str, Any] = result.provenance
    settings = kept.get("settings", {})
    spec = settings.get("spec", {})
    metrics = spec.get("metrics", ())
    at = result.metrics.index(metric)
    prompts = spec.get("prompts", {})
    about: dict[str, Any] = {
        "made_by": f"circuitgraph {kept.get('versions', {}).get('circuitgraph', '')}".strip(),
        "name": result.graph.name,
        "metric": metrics[at] if at < len(metrics) else {"name": metric},
        "metric_label": metric,
        "model": spec.get("model", {}),
        "model_fingerprint": kept.get("model_fingerprint"),
        "plan_sha256": kept.get("plan_sha256"),
        "prompts_sha256": kept.get("prompts_sha256"),
        "not_listed": NOT_LISTED,
    }
    if "generator" in prompts:
        about["prompts"] = prompts
    if result.graph.description:
        about["description"] = result.graph.description
    groups = {group.name: [str(member) for member in group.members] for group in result.graph.groups}
    return about | ({"groups": groups} if groups else {})
