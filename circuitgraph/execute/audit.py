"""The audit of the fast executor: a sample of what a run measured, recomputed literally.

A deviation is relative to max(|metric in the base run|, |metric in the other run|, 1), the largest over pairs,
metrics and draws. What is tolerated:

    float64    1e-9; 1e-5 where the model itself takes norms, scores or softmax in float32
    float32    1e-4
    less       4 × what the literal executor deviates from itself between batches of 1, 4 and 16 pairs, but at least
               8 roundings, relative to the largest logit: kernels mostly treat these batches alike
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitgraph.errors import AuditError
from circuitgraph.execute.bind import Batch
from circuitgraph.execute.parts import Parts
from circuitgraph.execute.settings import AUDITED_PAIRS
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.plans.routes import start_of
from circuitgraph.plans.types import Experiment
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Findings, Measured

LEAST, MOST = 8, 16
"""Experiments that are recomputed: at least so many, if there are; one of each sort, but not more than so many."""
ROUNDINGS = 8
"""Where the precision is less than float32: roundings of the largest logit that are always tolerated."""


class Audit:
    """Compares, part by part, and stops a run at the first experiment on which the executors do not agree.

    Attributes:
        chosen: ids of the experiments of the sample.
        rows: the pairs on which they are recomputed.
        findings: so far.
    """

    def __init__(self, model: TransformerModel, seed: int, before: Mapping[str, Any] | None = None) -> None:
        """
        Args:
            before: what was found before the run was interrupted, as a mapping.
        """
        self._model = model
        self._seed = seed
        self.chosen: frozenset[str] = frozenset()
        self.rows: frozenset[int] = frozenset()
        self._tolerated: float | None = None
        self.findings = Findings(**before) if before else Findings()

    def choose(self, experiments: Sequence[Experiment], prompts: PromptSet) -> None:
        """Draw the sample: experiments of every sort, and the shortest and the longest pairs among others."""
        stream = random.Random(self._seed)  # noqa: S311 (a sample, no secret)
        self.chosen |= {experiment.id for experiment in _sample(experiments, self._model.shape, stream)}
        by_length = sorted(range(len(prompts)), key=lambda row: len(prompts.pairs[row]))
        between = stream.sample(by_length[1:-1], min(AUDITED_PAIRS - 2, max(0, len(by_length) - 2)))
        self.rows = frozenset([*by_length[:1], *by_length[-1:], *between])

    def check(self, experiments: Sequence[Experiment], measured: Sequence[Measured], worker: Parts) -> None:
        """Recompute those of the sample that are among some experiments.

        Raises:
            AuditError: a deviation is not tolerated; the message names the experiment and both values.
        """
        sample = [experiment for experiment in experiments if experiment.id in self.chosen]
        if not sample:
            return
        found = {(item.id, item.metric): item for item in measured}
        batches = worker.batches_of(self.rows)
        tolerated = self._tolerance(sample, batches, worker)
        for batch in batches:
            executor = worker.literally(batch, sample)
            for experiment in sample:
                for draw in range(min(2, experiment.repeat)):
                    values = np.stack([value.cpu().numpy() for value in executor.patched(experiment, draw)])
                    ours = [found[experiment.id, metric.column] for metric in executor.metrics]
                    least = executor.largest_logit if self._model.dtype.itemsize < 4 else 1.0
                    self._compare(experiment, draw, values, ours, np.array(batch.rows), least, tolerated)
        self.findings = replace(
            self.findings, experiments=self.findings.experiments + len(sample), pairs=len(self.rows)
        )

    def _compare(
        self,
        experiment: Experiment,
        draw: int,
        values: NDArray[np.float64],
        ours: Sequence[Measured],
        rows: NDArray[np.int64],
        least: float,
        tolerated: float,
    ) -> None:
        for value, item in zip(values, ours, strict=True):
            fast = (item.metric_patched if item.draws is None else item.draws[:, draw])[rows]
            deviations = np.abs(fast - value) / np.maximum(_scale(item, rows), least)
            worst = int(np.argmax(np.where(np.isnan(deviations), np.inf, deviations)))
            deviation = float(deviations[worst])
            if not deviation <= tolerated:
                raise AuditError(
                    f"the audit failed: '{experiment.label}', {item.metric}, pair {rows[worst] + 1}: the fast executor "
                    f"says {fast[worst]:.9g}, the literal one {value[worst]:.9g}, a deviation of {deviation:.1e} "
                    f"(tolerated {tolerated:.1e}); nothing of this part was kept. Run with --executor literal, and "
                    "please report the spec and the model"
                )
            if deviation >= self.findings.deviation:
                self.findings = replace(self.findings, deviation=deviation, tolerated=tolerated, label=experiment.label)

    def _tolerance(self, sample: Sequence[Experiment], batches: Sequence[Batch], worker: Parts) -> float:
        if self._tolerated is None:
            self._tolerated = self._tolerance_of_dtype(sample, batches, worker)
        return self._tolerated

    def _tolerance_of_dtype(self, sample: Sequence[Experiment], batches: Sequence[Batch], worker: Parts) -> float:
        if (known := tolerance_of(self._model)) is not None:
            return known
        dtype = self._model.dtype
        spread = max(self_deviation(experiment, batches, worker) for experiment in sample[:2])
        return max(4 * spread, ROUNDINGS * torch.finfo(dtype).eps)


def tolerance_of(model: TransformerModel) -> float | None:
    """What is tolerated of a model's executors; None where that depends on how its own numbers scatter."""
    if model.dtype is torch.float64:
        inner = {dtype for rule in model.rules for dtype in (rule.scores_dtype, rule.softmax_dtype)}
        return 1e-5 if torch.float32 in inner else 1e-9
    return 1e-4 if model.dtype is torch.float32 else None


def self_deviation(experiment: Experiment, batches: Sequence[Batch], worker: Parts) -> float:
    """What the literal executor deviates from itself between batches of 1, 4 and 16 pairs."""
    worst = 0.0
    for batch in batches:
        several = [_in_batches(experiment, batch, size, worker) for size in (1, 4, 16)]
        scale = np.maximum(np.abs(several[0]), 1)
        worst = max(worst, *(float((np.abs(some - several[0]) / scale).max()) for some in several[1:]))
    return worst


def _in_batches(experiment: Experiment, batch: Batch, size: int, worker: Parts) -> NDArray[np.float64]:
    found = []
    for start in range(0, len(batch.rows), size):
        executor = worker.literally(batch.of(batch.rows[start : start + size]), [experiment])
        found.append(np.stack([value.cpu().numpy() for value in executor.patched(experiment)]))
    return np.concatenate(found, axis=1)


def _scale(item: Measured, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    scale = np.maximum(np.abs(item.metric_base[rows]), 1)
    return scale if item.metric_other is None else np.maximum(scale, np.abs(item.metric_other[rows]))


def _sample(experiments: Sequence[Experiment], shape: ModelShape, stream: random.Random) -> list[Experiment]:
    """One experiment of each sort in turn, until there are enough."""
    sorts: dict[Hashable, list[Experiment]] = {}
    for experiment in experiments:
        sorts.setdefault(_sort(experiment, shape), []).append(experiment)
    shuffled = [stream.sample(some, len(some)) for some in sorts.values()]
    stream.shuffle(shuffled)
    turns = [some[turn] for turn in range(LEAST) for some in shuffled if turn < len(some)]
    return turns[: max(LEAST, min(len(shuffled), MOST))]


def _sort(experiment: Experiment, shape: ModelShape) -> Hashable:
    """Experiments that take the same way through the executor, as far as a sample has to know."""
    start = start_of(experiment, shape)
    sources = tuple(type(source).__name__ for source in experiment.sources)
    frees = tuple(isolation.free for isolation in experiment.isolations)
    return experiment.kind, experiment.base, sources, frees, start.kind, start.point // 2
