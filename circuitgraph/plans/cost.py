"""What a plan costs with the literal executor, in forward passes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuitgraph.graph.claims import Counterfactual, Mean, Resample
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.plans.work import PromptShape


@dataclass(frozen=True, slots=True)
class Cost:
    """Forward passes over all prompts, by stage.

    `edge_at_a_time` is what the same experiments cost in notebooks that cache anew for every edge:
    base run, source run, isolation and propagation each time.
    """

    experiments: int
    caches: int
    isolations: int
    propagations: int
    edge_at_a_time: int

    @property
    def forwards(self) -> int:
        """All forward passes."""
        return self.caches + self.isolations + self.propagations


def cost_of(plan: Plan) -> Cost:
    """Count the passes; caches are shared by all experiments of a run."""
    experiments = plan.experiments
    bases = {experiment.base for experiment in experiments}
    runs = {run for experiment in experiments for run in _cached_runs(experiment)}
    return Cost(
        experiments=len(experiments),
        caches=len(bases | runs),
        isolations=sum(len(e.isolations) * e.repeat for e in experiments),
        propagations=sum(e.repeat for e in experiments),
        edge_at_a_time=sum((len(e.isolations) + 1) * e.repeat + len(_cached_runs(e)) for e in experiments),
    )


def _cached_runs(experiment: Experiment) -> set[str]:
    """The runs whose activations an experiment needs: its base, and the other prompt's or the reference set's."""
    runs = {experiment.base.value}
    if any(isinstance(source, Mean | Resample) for source in experiment.sources):
        runs.add("reference")
    if any(isinstance(source, Counterfactual) for source in experiment.sources):
        runs |= {"clean", "corrupted"}
    return runs


def describe_cost(cost: Cost, prompts: PromptShape | None) -> Sequence[str]:
    """The cost in words, one line each."""
    lines = [
        f"{_count(cost.experiments, 'experiment')}, {cost.forwards:,} forward passes: "
        f"{cost.caches} to cache, {cost.isolations:,} to isolate, {cost.propagations:,} to propagate",
        f"one edge at a time, caching anew for each: {cost.edge_at_a_time:,} forward passes",
    ]
    if prompts is not None:
        lines.append(f"one pass = {_count(len(prompts.lengths), 'prompt')}, {_count(prompts.tokens, 'token')}")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
