"""What a run found: one row per experiment and metric, the effects per pair, and where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.plans.types import Plan
from circuitgraph.showing import Interactive

if TYPE_CHECKING:
    import pandas

    from circuitgraph.results.attention import AttentionTable
    from circuitgraph.results.attribution import AttributionTable
    from circuitgraph.results.evaluated import Evaluation
    from circuitgraph.results.prompts import Prompt
    from circuitgraph.results.screening import Screening


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Values are means over pairs, in the metric's units; None = no meaning.

    `std_error`, `ci_low` and `ci_high` (95 %) are of `effect` = metric_patched − metric_base.
    """

    id: str
    kind: str
    label: str
    sender: str | None
    sender_position: str | None
    receiver: str | None
    receiver_position: str | None
    path: str | None
    base: str
    source: str
    metric: str
    metric_base: float
    metric_other: float | None
    metric_patched: float
    effect: float
    normalized_effect: float | None
    std_error: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    executor: str
    normalized_ci_low: float | None = None
    normalized_ci_high: float | None = None
    interval: str | None = None
    """How the interval was made: `bootstrap-t`, `bootstrap-t-cut`, `cluster-t`, `t`, `constant`, or None.

    See `stats.intervals`.
    """
    same_sign: float | None = None
    """Share of pairs whose effect has the sign of the mean effect."""
    p_value: float | None = None
    """Sign-flip permutation test of "the mean effect is 0"; None where effects have one sign by definition."""
    q_value: float | None = None
    """Benjamini–Hochberg over the p-values of this metric."""
    draws: int | None = None
    """Of `resample`: how many draws `effect` averages over."""
    draw_std: float | None = None
    """Of `resample`: standard deviation of the mean effect between draws."""
    expected: str | None = None
    """What the spec expects of `effect`; on the first metric alone."""
    verdict: str | None = None
    """`supported`, `refuted` or `undecided`: what the interval says of that."""
    pairs_needed: int | None = None
    """Undecided: how many pairs would decide, were mean and spread to stay as they are."""
    percentile: float | None = None
    """Percent of the baseline's random edges of the same kind whose |effect| is smaller; on the first metric alone."""
    percentile_of: int | None = None
    """How many random edges that is."""

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0; False when there is no interval."""
        return self.ci_low is not None and self.ci_high is not None and (self.ci_low > 0 or self.ci_high < 0)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One experiment under one metric, per pair, before statistics. Arrays have shape [pairs], float64."""

    id: str
    metric: str
    metric_base: NDArray[np.float64]
    metric_other: NDArray[np.float64] | None
    metric_patched: NDArray[np.float64]
    draws: NDArray[np.float64] | None = None
    """Of resampled values: the patched metric in each draw [pairs, draws], of which `metric_patched` is the mean."""
    executor: str = "literal"
    """Who ran it."""

    @property
    def effect(self) -> NDArray[np.float64]:
        """metric_patched − metric_base per pair."""
        return self.metric_patched - self.metric_base


@dataclass(frozen=True, slots=True)
class Findings:
    """What the audit of the fast executor found: `deviation` is the largest, relative to the metric's scale."""

    experiments: int = 0
    pairs: int = 0
    deviation: float = 0.0
    tolerated: float = 0.0
    label: str = ""
    """Of the experiment with the largest deviation."""

    def __str__(self) -> str:
        if not self.experiments:
            return "audit: nothing was measured by the fast executor"
        return (
            f"audit: {self.experiments} experiments recomputed literally on {self.pairs} pairs; "
            f"largest deviation {self.deviation:.1e} (tolerated {self.tolerated:.1e})"
        )


@dataclass(frozen=True, eq=False)
class RunResult(Interactive):
    """A finished run. `rows` are in plan order, the primary metric first."""

    graph: CircuitGraph
    plan: Plan
    rows: tuple[Row, ...]
    effects: Mapping[tuple[str, str], NDArray[np.float64]]
    """(experiment id, metric) → effect per pair."""
    provenance: Mapping[str, Any]
    metrics: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    directory: str | None = None
    baseline: tuple[Row, ...] = ()
    """The random edges that `baseline:` asks for, under the first metric."""
    audit: Findings | None = None
    """None where no audit was asked for."""
    attention: AttentionTable | None = None
    """What heads attend to, where the spec has `attention:`."""
    attribution: AttributionTable | None = None
    """What components write towards the metric, where the spec has `attribution:`."""
    screening: Screening | None = None
    """The estimates that chose what was measured, where a run was screened."""
    prompts: tuple[Prompt, ...] = ()
    """What it was measured on, in the order of the values of `effects`; empty for runs of versions that kept none."""
    evaluation: Evaluation | None = None
    """The circuit as a whole, where `evaluate` was called with the run's directory."""
    spec_text: str | None = None
    """The spec as it was run."""
    gaps: Mapping[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    """(base, metric) → metric_other − metric_base per pair, where there is another prompt."""

    @property
    def primary(self) -> tuple[Row, ...]:
        """The rows of the first metric."""
        return tuple(row for row in self.rows if row.metric == self.metrics[0])

    def ranked(self) -> tuple[Row, ...]:
        """Primary rows, largest |effect| first."""
        return tuple(sorted(self.primary, key=lambda row: -abs(row.effect)))

    def to_frame(self) -> pandas.DataFrame:
        """The table as a pandas frame, columns as in the docs."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in self.rows])


def gaps_of(plan: Plan, measured: Iterable[Measured]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """(base, metric) → metric_other − metric_base per pair; the experiments of a base share it."""
    bases = {experiment.id: experiment.base.value for experiment in plan.experiments}
    found: dict[tuple[str, str], NDArray[np.float64]] = {}
    for item in measured:
        key = (bases.get(item.id, ""), item.metric)
        if key[0] and key not in found and item.metric_other is not None:
            found[key] = item.metric_other - item.metric_base
    return found
