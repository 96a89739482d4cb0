"""RunResults made of given numbers, for what compares runs: no model is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuitgraph.graph.claims import CircuitGraph, Claim, EdgeClaim, Group, Intervention, claim_id
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import parse
from circuitgraph.plans import build_plan
from circuitgraph.results import Measured, RunResult, summarise
from circuitgraph.results.prompts import Prompt
from circuitgraph.results.records import gaps_of

SHAPE = ModelShape(4, 8, 8)
METRIC = "logit_diff"


def edge(sender: str, receiver: str, **more: Any) -> EdgeClaim:
    return EdgeClaim((parse(sender),), (parse(receiver),), **more)


def edges(count: int, how: Intervention | None = None) -> tuple[EdgeClaim, ...]:
    """Different edges of SHAPE."""
    pairs = [(f"a{low}.h{i}", f"a{high}.h{j}<{port}>") for low in range(3) for high in range(low + 1, 4)
             for i in range(8) for j in range(8) for port in "qkv"]  # fmt: skip
    return tuple(edge(s, r, how=how or Intervention()) for s, r in pairs[:count])


def prompts(
    count: int, *, start: int = 0, corrupted: int = 1000, clusters: Sequence[str] | None = None
) -> list[Prompt]:
    """Pair i has clean prompt start + i."""
    return [
        Prompt(
            clean=(1, start + i),
            corrupted=(1, corrupted + i),
            answers=(2,),
            wrong_answers=(3,),
            positions={"END": 1},
            start=0,
            cluster=None if clusters is None else clusters[i],
            clean_tokens=("#1", f"#{start + i}"),
            corrupted_tokens=("#1", f"#{corrupted + i}"),
            answer_tokens=("#2",),
            wrong_answer_tokens=("#3",),
        )
        for i in range(count)
    ]


def run_of(
    effects: Any,
    claims: Sequence[Claim] | None = None,
    *,
    asked: Sequence[Prompt] | None = None,
    gap: Any = -4.0,
    name: str = "made",
    shape: ModelShape = SHAPE,
    groups: Sequence[Group] = (),
    metric: str = METRIC,
    executor: str = "literal",
    provenance: Mapping[str, Any] | None = None,
) -> RunResult:
    """A run with these effects. [experiments, pairs]"""
    values = np.asarray(effects, dtype=np.float64)
    pairs = values.shape[1]
    graph = CircuitGraph(name, shape, tuple(groups), tuple(claims if claims is not None else edges(len(values))))
    plan = build_plan(graph)
    base = np.linspace(2.0, 3.0, pairs)
    other = None if gap is None else base + gap
    measured = [
        Measured(claim_id(claim), metric, base, other, base + row, executor=executor)
        for claim, row in zip(graph.claims, values, strict=True)
    ]
    told = list(prompts(pairs) if asked is None else asked)
    clusters = [p.cluster or f"pair {i}" for i, p in enumerate(told)] if any(p.cluster for p in told) else None
    return RunResult(
        graph=graph,
        plan=plan,
        rows=summarise(plan, measured, graph, metrics=[metric], clusters=clusters),
        effects={(item.id, item.metric): item.effect for item in measured},
        provenance=dict(provenance or {}),
        metrics=(metric,),
        prompts=tuple(told),
        gaps=gaps_of(plan, measured),
    )
