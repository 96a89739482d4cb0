"""Plan × prompts × model -> batches: every name becomes an index before any forward pass.

A batch holds pairs of one token count, so nothing is padded and a pair's numbers cannot depend on
what else is in its batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count

import torch
from torch import Tensor

from circuitgraph import catalog
from circuitgraph.catalog import MetricParams
from circuitgraph.catalog.metric_params import KLParams
from circuitgraph.errors import InputError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.metrics.readout import Readout, token_table
from circuitgraph.nodes import Address, Position
from circuitgraph.plans.types import Counterfactual, Experiment, Plan, Swap, Value
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import BaseRun, PluginSpec


@dataclass(frozen=True)
class BoundMetric:
    """A metric with its parameters read: `column` is its name in the table."""

    column: str
    params: MetricParams
    position: Position
    plugin: str

    def one_signed(self, base: BaseRun) -> bool:
        """Whether an effect on this base cannot be negative: a divergence from the base run itself."""
        if not catalog.metrics.lookup(self.plugin).one_signed:
            return False
        return not isinstance(self.params, KLParams) or self.params.to.value in ("base", base.value)

    def measure(self, readout: Readout) -> Tensor:
        """The metric per pair. [pairs], float64"""
        return catalog.metrics.lookup(self.plugin).load().measure(readout, self.params)


@dataclass(frozen=True)
class Batch:
    """Pairs of equal length. `rows` index the prompt set; ids are [batch, pos], `where` is [batch]."""

    rows: tuple[int, ...]
    clean: Tensor
    corrupted: Tensor | None
    where: Mapping[Position, Tensor]
    answers: Tensor
    wrong: Tensor

    def ids(self, run: BaseRun) -> Tensor:
        """Token ids of one side.

        Raises:
            InputError: there are no corrupted prompts.
        """
        ids = self.clean if run is BaseRun.CLEAN else self.corrupted
        if ids is None:
            raise InputError("these prompts have no corrupted side")
        return ids

    def of(self, rows: Collection[int]) -> Batch:
        """Some of its pairs, by their rows in the prompt set."""
        chosen = [i for i, row in enumerate(self.rows) if row in rows]
        return Batch(
            rows=tuple(self.rows[i] for i in chosen),
            clean=self.clean[chosen],
            corrupted=None if self.corrupted is None else self.corrupted[chosen],
            where={position: indexes[chosen] for position, indexes in self.where.items()},
            answers=self.answers[chosen],
            wrong=self.wrong[chosen],
        )

    def mask(self, position: Position | None, kept: Sequence[Position] = ()) -> Tensor | None:
        """Which tokens [batch, pos] a position means, without those at `kept`; None = all of them."""
        if position is None and not kept:
            return None
        tokens = torch.arange(self.clean.shape[1], device=self.clean.device)
        found = torch.ones_like(self.clean, dtype=torch.bool)
        if position is not None:
            found = tokens == self.where[position][:, None]
        for other in kept:
            found = found & (tokens != self.where[other][:, None])
        return found

    @cached_property
    def sides(self) -> tuple[BaseRun, ...]:
        """The sides there are."""
        return (BaseRun.CLEAN,) if self.corrupted is None else (BaseRun.CLEAN, BaseRun.CORRUPTED)


def bind_metrics(specs: Sequence[PluginSpec]) -> tuple[BoundMetric, ...]:
    """Look up every metric. Metrics of one name get columns of their own: see `metric_column`.

    Raises:
        InputError: unknown metric or parameters.
    """
    read = [(spec.name, _params(spec)) for spec in specs]
    unlabelled = Counter(name for name, params in read if params.label is None)
    bound: list[BoundMetric] = []
    for name, params in read:
        taken = [other.column for other in bound]
        column = metric_column(name, params, alone=unlabelled[name] == 1, taken=taken)
        bound.append(BoundMetric(column, params, params.position, name))
    return tuple(bound)


def _params(spec: PluginSpec) -> MetricParams:
    params = catalog.metrics.lookup(spec.name).read(spec.parameters)
    if not isinstance(params, MetricParams):
        raise InputError(f"the parameters of metric '{spec.name}' are no MetricParams")
    return params


def metric_column(name: str, params: MetricParams, *, alone: bool, taken: Collection[str]) -> str:
    """What a metric is called in tables: its label; its name if it is `alone` with it; else also what is not default.

    For instance `kl`, `kl@S2`, `kl(to=clean)`. A number follows where a column of that name is already `taken`.
    """
    defaults = {key: field.get_default(call_default_factory=True) for key, field in type(params).model_fields.items()}
    changed = {key: value for key, value in params if value != defaults[key]}
    position = f"@{params.at}" if changed.pop("at", None) else ""
    changed.pop("label", None)
    settings = ", ".join(f"{key}={value}" for key, value in changed.items())
    described = f"{name}{position}({settings})" if settings else f"{name}{position}"
    first = params.label or (name if alone else described)
    candidates = chain([first, described], (f"{described}#{i}" for i in count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def bind_batches(
    plan: Plan,
    prompts: PromptSet,
    metrics: Sequence[BoundMetric],
    shape: ModelShape,
    device: torch.device,
    size: int,
) -> tuple[Batch, ...]:
    """The prompts as batches of at most `size` pairs of one length, every position resolved.

    Raises:
        InputError: a node the model does not have, a position a prompt does not have, no corrupted
            prompts where they are needed, a token id outside the vocabulary.
    """
    needs_other = [e for e in plan.experiments if any(isinstance(s, Counterfactual) for s in e.sources)]
    needs_other += [e for e in plan.experiments if e.base is BaseRun.CORRUPTED]
    if needs_other and not prompts.paired:
        raise InputError(f"'{needs_other[0].label}' needs a corrupted prompt in every pair")
    positions = {metric.position for metric in metrics}
    known: set[Address] = set()
    for experiment in plan.experiments:
        for address in addresses_of(experiment):
            if address in known:
                continue
            known.add(address)
            if problem := shape.problem_with(address.node):
                raise InputError(f"'{experiment.label}': {problem}")
            positions |= {p for p in (address.position, address.output) if p is not None}
        positions |= kept_of(experiment)
    _check_ids(prompts, shape)
    batches = []
    for rows in prompts.by_length():
        for start in range(0, len(rows), size):
            batches.append(_batch(prompts, tuple(rows[start : start + size]), positions, device))
    return tuple(batches)


def addresses_of(experiment: Experiment) -> tuple[Address, ...]:
    """Every address an experiment writes or records, as often as it does."""
    found: list[Address] = []
    for write in experiment.writes:
        if isinstance(write, Swap):
            found += (*write.senders, write.port)
        else:
            found.append(write.address)
    for isolation in experiment.isolations:
        found += isolation.record
    return tuple(found)


def kept_of(experiment: Experiment) -> set[Position]:
    """The positions at which something is not replaced."""
    found: set[Position] = set()
    for write in experiment.writes:
        if isinstance(write, Value):
            found.update(write.kept)
        elif isinstance(write, Swap):
            found.update(position for kept in write.kept for position in kept)
    return found


def _batch(prompts: PromptSet, rows: tuple[int, ...], positions: set[Position], device: torch.device) -> Batch:
    pairs = [prompts.pairs[row] for row in rows]
    corrupted = [pair.corrupted for pair in pairs if pair.corrupted is not None]
    return Batch(
        rows=rows,
        clean=torch.tensor([pair.clean for pair in pairs], device=device),
        corrupted=torch.tensor(corrupted, device=device) if len(corrupted) == len(pairs) else None,
        where={p: torch.tensor([pair.index(p) for pair in pairs], device=device) for p in positions},
        answers=token_table([pair.answers for pair in pairs], device),
        wrong=token_table([pair.wrong_answers for pair in pairs], device),
    )


def _check_ids(prompts: PromptSet, shape: ModelShape) -> None:
    for number, pair in enumerate(prompts.pairs, start=1):
        ids = (*pair.clean, *(pair.corrupted or ()))
        if shape.vocab is not None and max(ids) >= shape.vocab:
            raise InputError(f"pair {number} has token id {max(ids)}; the model knows 0 to {shape.vocab - 1}")
        answers = (*pair.answers, *pair.wrong_answers)
        if shape.vocab_out is not None and answers and max(answers) >= shape.vocab_out:
            raise InputError(
                f"pair {number} has answer id {max(answers)}; the logits are for 0 to {shape.vocab_out - 1}"
            )
        if shape.context is not None and len(pair) > shape.context:
            raise InputError(f"pair {number} has {len(pair)} tokens; the model takes at most {shape.context}")
