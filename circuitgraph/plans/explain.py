"""A plan in words: the three stages of each edge, as a person would say them. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from circuitgraph.nodes import Address, Position
from circuitgraph.plans.types import (
    Base,
    Counterfactual,
    Experiment,
    Free,
    Isolate,
    Mean,
    Plan,
    Prune,
    Recorded,
    Resample,
    Source,
    Swap,
    Value,
    Write,
    Zero,
)
from circuitgraph.spec.model import BaseRun


def explain_plan(plan: Plan, metrics: Sequence[str]) -> str:
    """Every experiment with its stages. `metrics` are readable names such as `logit_diff at END`."""
    numbered = enumerate(plan.experiments, start=1)
    return "\n\n".join(_block(number, experiment, metrics) for number, experiment in numbered)


def explain_kinds(plan: Plan, metrics: Sequence[str]) -> str:
    """Of experiments that differ in layers and heads alone, the first with its stages, and how many more there are."""
    kinds: dict[Hashable, list[int]] = {}
    for index, experiment in enumerate(plan.experiments):
        kinds.setdefault(_kind_of(experiment), []).append(index)
    blocks: list[str] = []
    for first, *more in kinds.values():
        block = _block(first + 1, plan.experiments[first], metrics)
        blocks.append(f"{block}\n     and {len(more):,} more like it" if more else block)
    count = f"{len(plan.experiments):,} experiments of {len(kinds):,} kind{'s' * (len(kinds) > 1)}"
    return "\n\n".join([*blocks, f"{count}, one of each is shown"])


def _block(number: int, experiment: Experiment, metrics: Sequence[str]) -> str:
    return "\n".join([f"{number}. {experiment.label}", *(f"     {line}" for line in explain(experiment, metrics))])


def _kind_of(experiment: Experiment) -> Hashable:
    """Equal for experiments whose stages read alike but for the numbers of layers, heads and neurons."""
    isolations = [
        (tuple(map(_written, step.writes)), step.free, tuple(map(_like, step.record))) for step in experiment.isolations
    ]
    propagated = tuple(map(_written, experiment.propagate.writes))
    return experiment.kind, experiment.base, experiment.repeat, tuple(isolations), propagated


def _written(write: Write) -> Hashable:
    match write:
        case Value(address, source, kept):
            return _like(address), str(source), kept
        case Recorded(address, isolation):
            return _like(address), isolation
        case Swap(senders, port, source, kept):
            return tuple(map(_like, senders)), _like(port), str(source), kept


def _like(address: Address) -> Hashable:
    return type(address.node), address.ports, address.position, address.output


def explain(experiment: Experiment, metrics: Sequence[str]) -> list[str]:
    """The stages of one experiment, one line each."""
    lines = [f"{stage.name:<9}  {stage.said}" for stage in stages(experiment, metrics)]
    if experiment.repeat > 1:
        lines.append(f"repeat     {experiment.repeat} draws, effects averaged")
    return lines


class Stage(NamedTuple):
    """One stage of an experiment: `cache`, `isolate` (numbered where there are several) or `propagate`; in words."""

    name: str
    said: str


def stages(experiment: Experiment, metrics: Sequence[str]) -> list[Stage]:
    """What is done for one experiment, a sentence for each stage."""
    base = experiment.base.value
    found = [Stage("cache", f"{base} run" + _kept(experiment))]
    for step, isolation in enumerate(experiment.isolations):
        name = "isolate" if len(experiment.isolations) == 1 else f"isolate {step + 1}"
        found.append(Stage(name, _isolate(isolation, base, other_of(experiment.base))))
    writes = "; ".join(_propagated(write, other_of(experiment.base)) for write in experiment.propagate.writes)
    found.append(Stage("propagate", f"{base} run again, {writes}; read {', '.join(metrics)}"))
    return found


def other_of(base: BaseRun) -> str:
    """The name of the pair's other prompt."""
    return (BaseRun.CORRUPTED if base is BaseRun.CLEAN else BaseRun.CLEAN).value


def _kept(experiment: Experiment) -> str:
    sources = experiment.sources
    if any(isinstance(source, Counterfactual) for source in sources):
        return f" and {other_of(experiment.base)} run; keep {_names(_patched(experiment))} of the latter"
    if any(isinstance(source, Mean | Resample) for source in sources):
        return f" and reference set; keep {_names(_patched(experiment))} of the latter"
    return ""


def _patched(experiment: Experiment) -> list[str]:
    found: dict[str, None] = {}
    for write in experiment.writes:
        match write:
            case Value(address):
                found[str(address)] = None
            case Swap(senders):
                found.update((str(sender), None) for sender in senders)
            case Recorded():
                pass
    return list(found)


def _isolate(isolation: Isolate, base: str, other: str) -> str:
    written = "; ".join(_value(write, other) for write in isolation.writes)
    frozen = "all other heads and MLPs frozen" if isolation.free is Free.NONE else "all other heads frozen, MLPs free"
    return f"{base} run, {written}, {frozen}; record {_names(map(str, isolation.record))}"


def _value(write: Value | Recorded, other: str) -> str:
    match write:
        case Value():
            return _set(write, other)
        case Recorded(address, isolation):
            return f"{address} reading what isolation {isolation + 1} recorded"


def _set(write: Value, other: str) -> str:
    if isinstance(write.source, Prune):
        return f"the output weights of {write.address} set to zero"
    return f"{_but(write.address, write.kept)} set to {_source(write.source, other)}"


def _but(address: Address, kept: Sequence[Position]) -> str:
    return f"{address} but at {_names(map(str, kept))}" if kept else str(address)


def _propagated(write: Value | Recorded | Swap, other: str) -> str:
    match write:
        case Value():
            return _set(write, other)
        case Recorded(address, _):
            return f"{address} set to what was recorded"
        case Swap(senders, port, source, kept):
            swapped = itertools.starmap(_but, zip(senders, kept or itertools.repeat(()), strict=False))
            names = _names(swapped) + (", each" if len(senders) > 1 else "")
            return f"{port} reading {names} at {_source(source, other)}, all else as it comes"


def _source(source: Source, other: str) -> str:
    match source:
        case Counterfactual():
            return f"its {other} value"
        case Base():
            return "its own value"
        case Zero():
            return "zero"
        case Mean():
            return "its mean over the reference set"
        case Resample():
            return "its value in another reference prompt"
        case Prune():
            return "what it is without its output weights"


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " and " + listed[-1]
