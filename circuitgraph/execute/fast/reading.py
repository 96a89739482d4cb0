"""The metrics of a run from its final residual stream: only the logits that a metric reads are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph import catalog
from circuitgraph.execute.bind import Batch, BoundMetric
from circuitgraph.execute.settings import VOCABULARY_ROWS
from circuitgraph.metrics.readout import NO_TOKEN, Readout
from circuitgraph.models.lean import Lean
from circuitgraph.nodes import Position
from circuitgraph.spec.model import BaseRun


@dataclass(frozen=True, eq=False)
class Reading:
    """One metric on one batch.

    Attributes:
        slot: which of the tokens that are read it reads.
        tokens: the part of the vocabulary that it reads [pairs, columns]; None = all of it.
        answers, wrong: where among these the answers are.
        sides: the logits of each unpatched run. [pairs, columns or vocab], float64
    """

    metric: BoundMetric
    slot: int
    tokens: Tensor | None
    answers: Tensor
    wrong: Tensor
    sides: Mapping[BaseRun, Tensor]

    def readout(self, logits: Tensor, pairs: Tensor, base: BaseRun) -> Readout:
        """What the metric is given for rows of `pairs`, from their logits [rows, columns or vocab]."""
        sides = {side: values[pairs] for side, values in self.sides.items()}
        return Readout(
            logits=logits.double(),
            answers=self.answers[pairs],
            wrong=self.wrong[pairs],
            base=sides[base],
            clean=sides[BaseRun.CLEAN],
            corrupted=sides.get(BaseRun.CORRUPTED),
        )


class Readings:
    """All metrics on one batch."""

    def __init__(
        self, lean: Lean, batch: Batch, metrics: Sequence[BoundMetric], finals: Mapping[BaseRun, Tensor]
    ) -> None:
        """
        Args:
            finals: the final residual stream of each side. [pairs, pos, d_model]
        """
        self._lean = lean
        self._all = torch.arange(len(batch.rows), device=batch.clean.device)
        positions: dict[Position, int] = {}
        for metric in metrics:
            positions.setdefault(metric.position, len(positions))
        self.read = torch.stack([batch.where[position] for position in positions], dim=1)
        """The tokens that are read. [pairs, positions]"""
        self._readings: list[Reading] = []
        for metric in metrics:
            tokens, answers, wrong = _columns(metric, batch)
            bound = Reading(metric, positions[metric.position], tokens, answers, wrong, {})
            sides = {
                side: self._logits(bound, self.at_read(final)[:, None], self._all) for side, final in finals.items()
            }
            self._readings.append(replace(bound, sides={side: logits.double() for side, logits in sides.items()}))

    @property
    def slots(self) -> list[int]:
        """Which of the tokens that are read each metric reads."""
        return [reading.slot for reading in self._readings]

    def at_read(self, stream: Tensor) -> Tensor:
        """The tokens that are read. [pairs, positions, …]"""
        return stream[self._all[:, None], self.read]

    def unpatched(self, side: BaseRun) -> Tensor:
        """Every metric in the unpatched run of a side, read against itself as the base. [metrics, pairs]"""
        return torch.stack([r.metric.measure(r.readout(r.sides[side], self._all, side)) for r in self._readings])

    def other(self, base: BaseRun) -> Tensor | None:
        """Every metric in the other run of a base. [metrics, pairs]"""
        other = BaseRun.CORRUPTED if base is BaseRun.CLEAN else BaseRun.CLEAN
        if other not in self._readings[0].sides:
            return None
        return torch.stack([r.metric.measure(r.readout(r.sides[other], self._all, base)) for r in self._readings])

    def measure(self, finals: Tensor, pairs: Tensor, base: BaseRun) -> Tensor:
        """Every metric from final streams.

        Args:
            finals: at the tokens that are read [pairs, experiments, positions, d_model].
            pairs: which pairs of the batch these are.

        Returns:
            [metrics, experiments, pairs], float64
        """
        experiments = finals.shape[1]
        found = []
        for reading in self._readings:
            step = experiments if reading.tokens is not None else max(1, VOCABULARY_ROWS // len(pairs))
            parts = []
            for some in finals.split(step, dim=1):
                logits = self._logits(reading, some, pairs)
                repeated = pairs.repeat_interleave(some.shape[1])
                value = reading.metric.measure(reading.readout(logits, repeated, base))
                parts.append(value.view(len(pairs), -1).T)
            found.append(torch.cat(parts))
        return torch.stack(found)

    def _logits(self, reading: Reading, finals: Tensor, pairs: Tensor) -> Tensor:
        """[pairs · experiments, columns or vocab] from [pairs, experiments, positions, d_model]"""
        normed = self._lean.final(finals[:, :, reading.slot])
        tokens = None if reading.tokens is None else reading.tokens[pairs]
        return self._lean.logits(normed, tokens).flatten(0, 1)


def _columns(metric: BoundMetric, batch: Batch) -> tuple[Tensor | None, Tensor, Tensor]:
    """The part of the vocabulary that a metric reads, and where in it the answers and the wrong answers are."""
    if not catalog.metrics.lookup(metric.plugin).answers_only:
        return None, batch.answers, batch.wrong
    tokens = torch.cat((batch.answers, batch.wrong), dim=1)
    columns = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    places = columns.masked_fill(tokens == NO_TOKEN, NO_TOKEN)
    split = batch.answers.shape[1]
    return tokens.clamp(min=0), places[:, :split], places[:, split:]
