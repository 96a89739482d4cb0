"""The physical plan: how a plan is run, shared and stacked, and what that costs. Pure.

The logical plan says what each experiment is; this says what is computed for all of them together. One forward = a
plain forward pass over all clean prompts, with the logits of every token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from circuitgraph.graph.shape import ModelShape
from circuitgraph.plans.cost import cost_of
from circuitgraph.plans.routes import Kind, Start, start_of
from circuitgraph.plans.schedule import Executor, executor_of, parts_of
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.plans.work import (
    PromptShape,
    forward_work,
    isolation_work,
    literal_work,
    propagation_work,
    unembedding_work,
)


@dataclass(frozen=True, slots=True)
class Step:
    """Experiments that are run alike: how many, from where (or by whom and why), and their operations."""

    what: str
    experiments: int
    flops: int


@dataclass(frozen=True, slots=True)
class Physical:
    """How a plan is run. Operations are those of matrix products; 0 where the sizes of the model are not known.

    Attributes:
        forward: operations of one plain forward pass.
        runs: unpatched runs, whose activations are kept.
        streams: sets of senders that are isolated, each once for all of its receivers.
        parts: what is measured and saved at once; 0 where the prompts are not known.
        idle: experiments that change nothing, as their prompts do not differ where they would.
        columns: of the vocabulary that the metrics read; None = all of it.
        edge_at_a_time: forward passes of a notebook that caches anew for every edge.
    """

    forward: int
    runs: int
    cache: int
    streams: int
    isolate: int
    propagate: tuple[Step, ...]
    idle: int
    columns: int | None
    unembed: int
    literal: tuple[Step, ...]
    parts: int
    edge_at_a_time: int

    @property
    def flops(self) -> int:
        """All operations."""
        steps = (*self.propagate, *self.literal)
        return self.cache + self.isolate + self.unembed + sum(step.flops for step in steps)

    @property
    def forwards(self) -> float | None:
        """The same in forward passes; None where the sizes are not known."""
        return self.flops / self.forward if self.forward else None

    def to_json(self) -> dict[str, Any]:
        """In JSON types."""
        return {**asdict(self), "flops": self.flops, "forwards": self.forwards}


def physical_of(
    plan: Plan, shape: ModelShape, prompts: PromptShape, executor: Executor, columns: int | None
) -> Physical:
    """How a plan is run on prompts of some shape."""
    fast: list[Experiment] = []
    slow: dict[str, list[Experiment]] = {}
    for experiment in plan.experiments:
        who, reason = executor_of(experiment, shape, executor)
        if who is Executor.FAST:
            fast.append(experiment)
        else:
            slow.setdefault(reason or "asked for", []).append(experiment)
    known = bool(prompts.lengths)
    active = [e for e in fast if not known or any(tokens > 0 for _, tokens in prompts.suffixes(e))]
    cost = cost_of(plan)
    return Physical(
        forward=forward_work(shape, prompts),
        runs=cost.caches,
        cache=cost.caches * forward_work(shape, prompts, logits=False),
        streams=len({(e.base, i.writes, i.free) for e in active for i in e.isolations}),
        isolate=isolation_work(active, shape, prompts),
        propagate=tuple(_by_start(active, shape, prompts)),
        idle=len(fast) - len(active),
        columns=columns,
        unembed=unembedding_work(sum(e.repeat for e in active), shape, prompts, columns),
        literal=tuple(
            Step(reason, len(some), sum(literal_work(e, shape, prompts) for e in some)) for reason, some in slow.items()
        ),
        parts=len(parts_of(plan, shape, prompts, executor)) if known else 0,
        edge_at_a_time=cost.edge_at_a_time,
    )


def _by_start(experiments: Sequence[Experiment], shape: ModelShape, prompts: PromptShape) -> Iterator[Step]:
    groups: dict[Start, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(start_of(experiment, shape), []).append(experiment)
    for start, some in sorted(groups.items()):
        flops = sum(e.repeat * propagation_work(e, shape, prompts) for e in some)
        yield Step(_from(start, shape), len(some), flops)


def _from(start: Start, shape: ModelShape) -> str:
    """Where a run of stage 3 begins, in words."""
    layer, middle = divmod(start.point, 2)
    place = f"r{layer}.mid" if middle else f"r{layer}" if layer < shape.layers else "the final stream"
    match start.kind:
        case Kind.LANDED if layer == shape.layers:
            return "at the final stream: a norm and a product with the columns that are read"
        case Kind.LANDED:
            return f"from {place} on"
        case Kind.HEAD:
            return f"one head mixed again, from {place} on"
        case Kind.EDITED:
            return f"from {place} on, every write at its own place"


def describe_physical(found: Physical, memory: int | None = None) -> list[str]:
    """In words, one line each; `memory`: the predicted bytes beside the model."""
    lines = [
        "how it is run",
        f"  cache      {found.runs} unpatched runs up to the final stream{_share(found, found.cache)}",
    ]
    if found.streams:
        lines.append(
            f"  isolate    no run: {_count(found.streams, 'stream')} of changed senders, each read once per layer "
            f"for all receivers{_share(found, found.isolate)}"
        )
    for number, step in enumerate(found.propagate):
        head = "propagate" if not number else "         "
        lines.append(f"  {head}  {_count(step.experiments, 'experiment')} {step.what}{_share(found, step.flops)}")
    if found.propagate and found.forward:
        read = "the whole vocabulary" if found.columns is None else _count(found.columns, "column")
        lines.append(f"  unembed    {read} at the tokens that the metrics read{_share(found, found.unembed)}")
    if found.idle:
        lines.append(f"  not run    {_count(found.idle, 'experiment')}: the prompts of every pair are alike there")
    for step in found.literal:
        lines.append(f"  literal    {_count(step.experiments, 'experiment')}: {step.what}{_share(found, step.flops)}")
    lines += _totals(found)
    if memory is not None:
        lines.append(f"  memory     about {memory / 2**20:,.0f} MiB beside the model")
    return lines


def _totals(found: Physical) -> Iterator[str]:
    if found.forwards is not None:
        work = f"{_number(found.forwards)} forwards ({found.flops / 1e12:,.3g} TFLOP)"
        yield f"  in all     {work}, in {_count(found.parts, 'part')} that are saved one by one"
    yield f"  one edge at a time, caching anew for each: {found.edge_at_a_time:,} forward passes"


def _share(found: Physical, flops: int) -> str:
    return f": {_number(flops / found.forward)} forwards" if found.forward else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
