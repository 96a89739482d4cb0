"""The parameters of the metrics: what a spec may write under `metrics`, and what others must know of each.

Each metric is computed by the module of the same name in `circuitgraph.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from circuitgraph.catalog.registry import Entry
from circuitgraph.errors import AddressError
from circuitgraph.nodes import Position, parse_position


def _index_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _canonical_position(text: str) -> str:
    try:
        return str(parse_position(text))
    except AddressError as error:
        raise ValueError(str(error)) from None


PositionText = Annotated[
    str, BeforeValidator(_index_as_text, json_schema_input_type=str | int), AfterValidator(_canonical_position)
]
"""A position: `END`, `S1+1`, or an index such as -1."""


class Reduce(StrEnum):
    """How the logits of several answers become one number."""

    MEAN = "mean"
    MAX = "max"


class KLReference(StrEnum):
    """The distribution that the patched one is compared with."""

    BASE = "base"
    CLEAN = "clean"
    CORRUPTED = "corrupted"


class MetricParams(BaseModel):
    """What every metric takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    at: PositionText = "END"
    """Where the logits are read: a named position (`END`, `S1+1`) or an index into the prompt (-1)."""
    label: str | None = None
    """What the metric is called in tables and pictures; its name if not given."""

    @property
    def position(self) -> Position:
        """`at`, read."""
        return parse_position(self.at)


class LogitParams(MetricParams):
    """A metric on logits."""

    reduce: Reduce = Reduce.MEAN
    """Several answers: the mean of their logits, or the largest."""


class LogitDiffParams(LogitParams):
    """logit(answers) − logit(wrong_answers)."""


class AnswerLogitParams(LogitParams):
    """logit(answers)."""


class LogProbParams(MetricParams):
    """log of the summed probability of the answers."""


class ProbParams(MetricParams):
    """Summed probability of the answers."""


class ProbDiffParams(MetricParams):
    """Summed probability of the answers − summed probability of the wrong answers."""


class KLParams(MetricParams):
    """KL(reference ‖ patched) of the distributions over the next token, in nats."""

    to: KLReference = KLReference.BASE
    """The reference: the run that is patched, or always the clean or the corrupted one."""


@dataclass(frozen=True, slots=True)
class MetricEntry(Entry):
    """A metric, with the facts that checks, plans and pictures need before it is computed."""

    needs_answers: bool = True
    needs_wrong_answers: bool = False
    one_signed: bool = False
    """Never negative: a picture has no use for a diverging scale."""
    linear_in_logits: bool = False
    """A fixed linear function of the logits, unless `reduce: max` over several answers."""
    answers_only: bool = False
    """Reads the logits of the answers and the wrong answers alone: no others need to be computed."""


METRICS: tuple[MetricEntry, ...] = (
    MetricEntry(
        "logit_diff",
        "logit of the answers minus logit of the wrong answers",
        LogitDiffParams,
        "circuitgraph.metrics.logit_diff",
        needs_wrong_answers=True,
        linear_in_logits=True,
        answers_only=True,
    ),
    MetricEntry(
        "logit",
        "logit of the answers",
        AnswerLogitParams,
        "circuitgraph.metrics.logit",
        linear_in_logits=True,
        answers_only=True,
    ),
    MetricEntry(
        "log_prob",
        "log of the summed probability of the answers, in nats",
        LogProbParams,
        "circuitgraph.metrics.log_prob",
    ),
    MetricEntry("prob", "summed probability of the answers", ProbParams, "circuitgraph.metrics.prob"),
    MetricEntry(
        "prob_diff",
        "summed probability of the answers minus that of the wrong answers",
        ProbDiffParams,
        "circuitgraph.metrics.prob_diff",
        needs_wrong_answers=True,
    ),
    MetricEntry(
        "kl",
        "KL divergence of the patched from the reference distribution, in nats",
        KLParams,
        "circuitgraph.metrics.kl",
        needs_answers=False,
        one_signed=True,
    ),
)
