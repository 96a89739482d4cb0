"""Edge attribution patching of every edge of a model beside TransformerLens' `attribution_patch`, on the same prompts.

Ours for all pairs at once: both unpatched runs, the gradients and all products; theirs prompt by prompt, as it works.
Theirs scores each token of an edge by itself; summed over tokens these are the same numbers. Plans are not timed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.gradient.run import estimate_all
from circuitgraph.graph.claims import EdgeClaim, Intervention
from circuitgraph.graph.partition import partition_edges
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import Address
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import BaseRun, EstimateSection
from tests.benchmarks.memory import peak_over
from tests.benchmarks.report import Table
from tests.benchmarks.setting import Prompts, Sides
from tests.benchmarks.timing import Clock, seconds
from tests.measuring import LOGIT_DIFF

COLUMNS = ("edges", "ours, s", "ours, s/prompt", "theirs, s/prompt", "ratio", "target", "apart", "peak, MB")
LEGEND = """\
EAP of all edges  two unpatched runs, a backward pass and every edge's product; median of 3;
                  theirs timed on a few of the prompts
apart             largest |ours − theirs| / largest |theirs|, over edges, of those prompts
peak              of ours: resident memory over what was resident before"""
TARGET = 20


def named_edges(model: TransformerModel) -> dict[tuple[str, str], EdgeClaim]:
    """Every edge of the finest partition, patched in the corrupted run, by its ends."""
    how = Intervention(base=BaseRun.CORRUPTED)
    edges = partition_edges(model.shape)
    return {(str(e.sender), str(e.target)): EdgeClaim((Address(e.sender),), (e.target,), how) for e in edges}


def planned(model: TransformerModel) -> tuple[Experiment, ...]:
    """Their experiments."""
    return tuple(experiment_of(claim, model.shape) for claim in named_edges(model).values())


def ours(model: TransformerModel, prompts: PromptSet, plan: tuple[Experiment, ...]) -> NDArray[np.float64]:
    """The estimate of every edge, in the order of `named_edges`, as a mean over pairs. [edges]"""
    parts = estimate_all(model, Plan("estimates", plan), prompts, bind_metrics([LOGIT_DIFF]), EstimateSection())
    return np.stack([item.effect for part in parts for item in part]).mean(axis=1)


def theirs(bridge: Any, pair: Pair, device: torch.device) -> dict[tuple[str, str], float]:
    """The same of one pair, by TransformerLens: gradient at the corrupted run, change towards the clean one."""
    from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, attribution_patch

    clean, corrupted = (torch.tensor([side], device=device) for side in (pair.clean, pair.corrupted))

    def metric(logits: torch.Tensor) -> torch.Tensor:
        last = logits.reshape(-1, logits.shape[-1])[-1].double()
        return last[list(pair.answers)].mean() - last[list(pair.wrong_answers)].mean()

    # Its gradients need something at the beginning that asks for one; the other weights are frozen, as ours are.
    weights = list(bridge.embed.parameters())
    try:
        for weight in weights:
            weight.requires_grad_(True)
        found = attribution_patch(bridge, clean, corrupted, metric, EdgeAttributionConfig(granularity="edge"))
    finally:
        for weight in weights:
            weight.requires_grad_(False)
    total: dict[tuple[str, str], float] = defaultdict(float)
    for (writer, reader), score in found.edge_scores.items():
        total[_name(writer), _name(reader)] += float(score)
    return total


def _name(end: Any) -> str:
    match end.kind:
        case "embed":
            return "input"
        case "attn_head_out":
            return f"a{end.layer}.h{end.head}"
        case "mlp_out" | "mlp_in":
            return f"m{end.layer}"
        case "logits":
            return "logits"
        case port:
            return f"a{end.layer}.h{end.head}<{port[0]}>"


def table(sides: Sides, prompts: Prompts, clock: Clock, timed: int = 2) -> Iterator[Table]:
    """One row: all edges of the model."""
    made, model = prompts.made(sides.ours.shape.vocab or 0), sides.ours
    few, numbers = made.pairs[:timed], list[NDArray[np.float64]]()
    plan = planned(model)
    ours(model, PromptSet(made.pairs[:1]), plan)
    runs = [seconds(lambda: numbers.append(ours(model, made, plan)), model.device, clock) for _ in range(3)]
    spent = sorted(runs)[1]
    with peak_over(model.device.type) as peak:  # looks at the memory again and again, which takes time of its own
        ours(model, made, plan)
    found: list[dict[tuple[str, str], float]] = []
    other = [seconds(lambda pair=pair: found.append(theirs(sides.theirs, pair, model.device)), model.device, clock)
             for pair in few]  # fmt: skip
    names, mine = named_edges(model), ours(model, PromptSet(few), plan)
    mean = np.array([sum(each[name] for each in found) / len(found) for name in names])
    apart = np.abs(mine - mean).max() / np.abs(mean).max()
    per, slow = spent / len(made), sum(other) / len(other)
    cells = (f"{len(names):,}", f"{spent:.2f}", f"{per:.3f}", f"{slow:.2f}", f"{slow / per:.0f}", f"{TARGET}",
             f"{apart:.1e}", f"{peak[0] / 1e6:.0f}")  # fmt: skip
    yield Table(f"gradient estimates, {prompts}; theirs timed on {timed} prompts", ("", *COLUMNS),
                [("EAP of all edges", *cells)])  # fmt: skip
