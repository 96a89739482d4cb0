"""Runs whose numbers are made up, for what reads runs: real specs, plans, statistics and directories, no model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from circuitgraph.checks import check
from circuitgraph.graph.claims import CircuitGraph, Claim, EdgeClaim
from circuitgraph.graph.partition import partition_edges
from circuitgraph.graph.shape import ModelShape
from circuitgraph.nodes import Address
from circuitgraph.plans import Plan, build_plan
from circuitgraph.results import Measured, RunDirectory, RunResult, load_run, provenance
from circuitgraph.results.judged import with_verdicts
from circuitgraph.results.prompts import Prompt, prompt_set
from circuitgraph.results.records import Row
from circuitgraph.results.table import summarise
from tests.render_graphs import row

SPEC = """\
version: 1
name: made-up
description: A circuit of two hops
model: ioi-mini
prompts:
  generator: {name: ioi, n: 12, seed: 0, corruption: swap_s2}
metrics: [{name: logit_diff, at: END}, {name: kl, at: END, label: divergence}]
groups:
  duplicate: {nodes: [a0.h0, a0.h1], label: duplicate token, note: at S2 they attend to S1}
  inhibition: {nodes: [a2.h0, a2.h1], label: S-inhibition}
  movers: {nodes: [a3.h0, a3.h1], label: name movers}
edges:
  - {sender: input@S2, receiver: "duplicate<q>@S2", expect: negative}
  - {sender: duplicate@S2, receiver: "inhibition<v>@S2", path: through-mlps}
  - {sender: inhibition@END, receiver: "movers<q>@END"}
  - {sender: input@IO, receiver: "movers<k,v>@IO"}
  - {sender: movers@END, receiver: [logits, m3@END]}
  - {sender: m3@END, receiver: logits, label: the last step}
nodes: [m3@END]
"""


def made_run(
    directory: Path, text: str = SPEC, *, seed: int = 0, pairs: int = 12, effect: Callable[[int], float] | None = None
) -> RunResult:
    """A finished run directory of a spec, read back. `effect`: the mean effect of the i-th experiment, before noise."""
    source = directory.parent / f"{directory.name}.yaml"
    source.write_text(text, encoding="utf-8")
    found = check(source)
    plan = build_plan(found.graph)
    metrics = [metric.parameters.get("label") or metric.name for metric in found.spec.metrics]
    values = measured(plan, metrics, pairs, seed, effect)
    rows = summarise(plan, values, found.graph, metrics=metrics)
    first = [each for each in rows if each.metric == metrics[0]]
    prompts = tuple(_prompt(i) for i in range(pairs))
    origin = provenance(
        spec_text=text, plan=plan, shape=found.graph.shape,
        model_fingerprint="0" * 64, prompts_sha256=prompt_set(prompts).digest(),
        settings={
            "spec": found.spec.model_dump(mode="json", exclude_defaults=True, by_alias=True),
            "model": {"kind": "bundled", "name": found.location.name},
            "pairs": pairs,
            "positions": list(found.prompts.position_names()) if found.prompts else [],
            "each": None,
        },
    )  # fmt: skip
    with RunDirectory.create(directory, origin, text) as run:
        run.write_part(values)
        run.finish(
            [*with_verdicts(first, found.graph), *rows[len(first) :]], prompts=prompts, warnings=["a made-up warning"]
        )
    return load_run(directory)


def measured(
    plan: Plan, metrics: Sequence[str], pairs: int, seed: int, effect: Callable[[int], float] | None = None
) -> list[Measured]:
    """Values of every experiment: of both signs, of very different sizes, some around 0."""
    draw = np.random.default_rng(seed)
    found = []
    for metric in metrics:
        base = 3.5 + draw.normal(0, 0.3, pairs)
        for i, experiment in enumerate(plan.experiments):
            mean = effect(i) if effect else draw.choice([1.0, -1.0, -1.0]) * draw.exponential() ** 2
            moved = base + mean + draw.normal(0, 0.1 + 0.2 * abs(mean), pairs)
            found.append(Measured(experiment.id, metric, base, base - 6.5, moved, executor="fast"))
    return found


def _prompt(i: int) -> Prompt:
    words = ("<|bos|>", "When", " Mary", " and", " John")
    places = {"BOS": 0, "IO": 1, "S1": 2, "S2": 3, "END": 4}
    ids = (0, 1, 2, 3, 4), (0, 1, 2, 3, i)
    return Prompt(*ids, (2,), (4,), places, 1, f"c{i}", words, words, (" Mary",), (" John",))


def result_of(graph: CircuitGraph, rows: Sequence[Row]) -> RunResult:
    """A result kept in memory."""
    metrics = tuple(dict.fromkeys(each.metric for each in rows))
    return RunResult(graph, build_plan(graph), tuple(rows), {}, {}, metrics)


def all_of_gpt2(kept: int | None = None) -> RunResult:
    """Every edge of GPT-2's shape, or the first that make `kept`, with made-up effects."""
    shape = ModelShape(12, 12, 12)
    edges = partition_edges(shape)
    if kept is not None:
        edges = tuple(random.Random(0).sample(edges, kept))  # noqa: S311  # made-up numbers
    claims: tuple[Claim, ...] = tuple(EdgeClaim((Address(edge.sender),), (edge.target,)) for edge in edges)
    draw = random.Random(1)  # noqa: S311  # made-up numbers
    rows = []
    for claim in claims:
        effect = draw.choice([1, 1, -1]) * draw.expovariate(1) ** 2 * 0.3
        found = row(claim, effect, 0.05 + 0.1 * draw.random())
        rows.append(replace(found, std_error=draw.random(), p_value=draw.random(), q_value=draw.random(),
                            normalized_effect=effect / -6.5, normalized_ci_low=effect / -7 - draw.random(),
                            normalized_ci_high=effect / -7 + draw.random(), same_sign=draw.random()))  # fmt: skip
    return result_of(CircuitGraph("all-edges-gpt2", shape, (), claims), rows)
