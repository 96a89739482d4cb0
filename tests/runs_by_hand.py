"""RunResults made of a graph and made-up rows: no model, no measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuitgraph.graph.claims import (
    ChainClaim,
    CircuitGraph,
    Claim,
    EdgeClaim,
    Intervention,
    NodeClaim,
    SetClaim,
    claim_id,
    claim_label,
)
from circuitgraph.graph.partition import partition_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address
from circuitgraph.plans import build_plan
from circuitgraph.results.records import Row, RunResult
from circuitgraph.results.table import ends_of

KINDS = {EdgeClaim: "edge", NodeClaim: "node", ChainClaim: "chain", SetClaim: "set"}


def row_of(claim: Claim, effect: float, *, metric: str = "logit_diff", executor: str = "fast") -> Row:
    ends = ends_of(claim)
    return Row(
        id=claim_id(claim), kind=KINDS[type(claim)], label=claim_label(claim), sender=ends.sender,
        sender_position=ends.sender_position, receiver=ends.receiver, receiver_position=ends.receiver_position,
        path=ends.path, base=claim.how.base.value, source=str(claim.how.source), metric=metric, metric_base=3.5,
        metric_other=-3.0, metric_patched=3.5 + effect, effect=effect, normalized_effect=None, std_error=0.125,
        ci_low=effect - 0.25, ci_high=effect + 0.25, n=64, executor=executor, interval="t", same_sign=0.75,
    )  # fmt: skip


def run_of(
    graph: CircuitGraph, effects: Sequence[float], *, metrics: Sequence[str] = ("logit_diff",), **about: Any
) -> RunResult:
    """A run whose i-th experiment has the i-th effect; under the n-th metric, n + 1 times that."""
    spec = {
        "model": {"name": "org/model"},
        "prompts": {"generator": {"name": "ioi", "n": 8}},
        "metrics": [{"name": metric, "at": "END"} for metric in metrics],
    }
    rows = [
        row_of(claim, effect * (i + 1), metric=metric)
        for i, metric in enumerate(metrics)
        for claim, effect in zip(graph.claims, effects, strict=True)
    ]
    provenance = {"settings": {"spec": spec}, "versions": {"circuitgraph": "0"}, "model_fingerprint": "f"} | about
    return RunResult(graph, build_plan(graph), tuple(rows), {}, provenance, tuple(metrics))


def every_edge(shape: ModelShape, how: Intervention | None = None, name: str = "every") -> CircuitGraph:
    """All edges of a model."""
    claims = [EdgeClaim((Address(e.sender),), (e.target,), how or Intervention()) for e in partition_edges(shape)]
    return CircuitGraph(name, shape, (), tuple(claims))
