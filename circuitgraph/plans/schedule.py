"""Plan -> schedule: which executor runs what, in parts that are measured and saved one by one. Pure.

A schedule is derived from the plan and some settings alone, so that an interrupted run that goes on with the settings
it began with computes every part exactly as it would have been.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from circuitgraph.graph.shape import ModelShape
from circuitgraph.plans.routes import slow_reason, start_of
from circuitgraph.plans.types import Experiment, Plan, Swap
from circuitgraph.plans.work import PromptShape, experiment_work

PART_FLOPS = {"cpu": 1.5e12, "cuda": 1.5e14}
"""Operations of a part, by kind of device: some ten seconds, which a killed run loses at most."""
PART_EXPERIMENTS = 4096
"""Experiments of a part at most, however cheap they are."""


class Executor(StrEnum):
    """How experiments are run."""

    AUTO = "auto"
    """Fast where possible, and a sample of that recomputed literally."""
    FAST = "fast"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True)
class Part:
    """Experiments that are measured together by one executor, `fast` or `literal`."""

    executor: Executor
    experiments: tuple[Experiment, ...]

    def but(self, done: Collection[str]) -> Part:
        """Without the experiments of these ids."""
        return Part(self.executor, tuple(e for e in self.experiments if e.id not in done))


def executor_of(experiment: Experiment, shape: ModelShape, wanted: Executor) -> tuple[Executor, str | None]:
    """Who runs an experiment, and why if it is not who was wanted."""
    if wanted is Executor.LITERAL:
        return Executor.LITERAL, None
    reason = slow_reason(experiment, shape)
    return (Executor.FAST, None) if reason is None else (Executor.LITERAL, reason)


def parts_of(
    plan: Plan, shape: ModelShape, prompts: PromptShape, wanted: Executor, device: str = "cpu"
) -> tuple[Part, ...]:
    """The plan in parts: first what the fast executor runs, experiments that share a sender next to each other."""
    by_executor: dict[Executor, list[Experiment]] = {Executor.FAST: [], Executor.LITERAL: []}
    for experiment in plan.experiments:
        by_executor[executor_of(experiment, shape, wanted)[0]].append(experiment)
    limit = PART_FLOPS[device]
    fast = _by_sender(by_executor[Executor.FAST], shape)
    return (
        *(Part(Executor.FAST, some) for some in _cut(fast, shape, prompts, limit)),
        *(Part(Executor.LITERAL, some) for some in _cut(by_executor[Executor.LITERAL], shape, prompts, limit)),
    )


def _by_sender(experiments: Sequence[Experiment], shape: ModelShape) -> list[Experiment]:
    """In the order in which the plan names senders; for each, in the order in which its runs begin."""
    senders: dict[object, int] = {}
    keys = {}
    for experiment in experiments:
        first = experiment.isolations[0].writes if experiment.isolations else experiment.propagate.writes[:1]
        sender = senders.setdefault(tuple(str(w.address) for w in first if not isinstance(w, Swap)), len(senders))
        keys[experiment.id] = (sender, start_of(experiment, shape))
    return sorted(experiments, key=lambda experiment: keys[experiment.id])


def _cut(
    experiments: Sequence[Experiment], shape: ModelShape, prompts: PromptShape, limit: float
) -> Iterator[tuple[Experiment, ...]]:
    part: list[Experiment] = []
    work = 0.0
    for experiment in experiments:
        more = experiment_work(experiment, shape, prompts)
        if part and (work + more > limit or len(part) == PART_EXPERIMENTS):
            yield tuple(part)
            part, work = [], 0.0
        part.append(experiment)
        work += more
    if part:
        yield tuple(part)
