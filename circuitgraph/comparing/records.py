"""What a comparison of runs found: one line per experiment that both have, and how alike the whole is. Frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.results.records import Row, RunResult
from circuitgraph.showing import Interactive

if TYPE_CHECKING:
    import pandas


class By(StrEnum):
    """How experiments of two runs are matched."""

    ADDRESS = "address"
    """The same nodes, ports and positions: for one architecture and shape."""
    GROUP = "group"
    """The same names of groups: 9.6 of one model has no counterpart in another."""


class Quantity(StrEnum):
    """What the differences are of."""

    EFFECT = "effect"
    """In the metric's units."""
    NORMALIZED = "normalized"
    """As a share of the gap between a run's two prompts: for models whose units differ."""


@dataclass(frozen=True, slots=True)
class Differs:
    """A setting in which two runs differ, as text; None = not set."""

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class Matched:
    """One experiment that both runs have; matched by group, the mean over all experiments between two groups.

    `a` and `b` are the quantity compared (`Comparison.quantity`), `difference` = b − a; intervals are 95 %.
    None = no meaning.
    """

    key: str
    """What it was matched by, as text; unique among the lines of a comparison."""
    label: str
    kind: str
    sender: str | None
    """Node, or name of a group; of a node experiment, what is patched."""
    sender_position: str | None
    receiver: str | None
    """With its ports: `a3.h1<q>`, `movers<q>`."""
    receiver_position: str | None
    path: str | None
    """None also where the two runs differ in it as a whole; so for base and source."""
    base: str | None
    source: str | None
    metric: str
    a: float
    a_low: float | None
    a_high: float | None
    b: float
    b_low: float | None
    b_high: float | None
    difference: float
    std_error: float | None
    ci_low: float | None
    ci_high: float | None
    interval: str | None
    """How the interval of the difference was made (see `comparing.differences`)."""
    p_value: float | None
    q_value: float | None
    """Benjamini–Hochberg over the matched experiments."""
    paired: bool
    """Whether the difference is a mean of differences within prompt pairs."""
    effect_a: float
    effect_b: float
    normalized_a: float | None
    normalized_b: float | None
    normalized_difference: float | None
    normalized_ci_low: float | None
    normalized_ci_high: float | None
    n_a: int
    """Prompt pairs."""
    n_b: int
    experiments_a: int
    """How many experiments the mean is over: 1 where matched by address."""
    experiments_b: int
    rank_a: int
    """Place by size, from 1, among the matched experiments of A."""
    rank_b: int
    q_a: float | None
    """Of the effect in A itself; None where several experiments are averaged."""
    q_b: float | None
    flipped: bool
    """Whether the two have opposite signs."""
    executor_a: str
    """What measured it, or estimated it (`eap` …)."""
    executor_b: str
    ids_a: tuple[str, ...]
    ids_b: tuple[str, ...]

    @property
    def significant(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.ci_low is not None and self.ci_high is not None and (self.ci_low > 0 or self.ci_high < 0)

    @property
    def clearly_flipped(self) -> bool:
        """Opposite signs, and neither interval contains 0."""
        sure = (_leaves_out_zero(self.a_low, self.a_high), _leaves_out_zero(self.b_low, self.b_high))
        return self.flipped and all(sure)


@dataclass(frozen=True, slots=True)
class Alone:
    """An experiment, or all between two groups, that only one of the runs has."""

    key: str
    label: str
    effect: float
    """In the metric's units; the mean, where there are several."""
    ci_low: float | None
    ci_high: float | None
    ids: tuple[str, ...]
    path: str | None = None
    base: str | None = None
    source: str | None = None
    why: str | None = None
    """Why it has no counterpart, where that is not plain: `in no group`."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation over the matched experiments; None = one of the lists does not vary.

    `low` and `high`: the 2.5 and 97.5 percentiles of what resampled prompts give (None = too few); no confidence
    interval of the correlation that infinitely many prompts would give, which noise can put outside it.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two runs are over all matched experiments; see `comparing.agreement`."""

    n: int
    """Matched experiments."""
    resamples: int
    """Of the prompts, for the intervals; 0 = there are none."""
    pearson: Correlation
    spearman: Correlation
    kendall: Correlation
    spearman_size: Correlation
    """Of the absolute values: which experiments matter."""
    kendall_size: Correlation
    overlap: tuple[float, ...]
    """At k = 1 … n: the share of the k largest by size of one run that are among the k largest of the other; of
    equal sizes each has its part of the places that are left."""

    halves_a: float | None
    """Spearman between means over two halves of A's prompts, the mean over many ways to halve them: see `repeat`."""
    halves_b: float | None
    halves_size_a: float | None
    """The same of absolute values."""
    halves_size_b: float | None

    @staticmethod
    def repeat(halves: float | None) -> float | None:
        """What two samples of a run's own size would agree by, told by its halves: 2h / (1 + h).

        Spearman and Brown (1910). Two runs on *different* prompts that do the same are expected to agree as much;
        runs on the same prompts share noise, and may agree more.
        """
        return halves if halves is None or halves <= 0 else 2 * halves / (1 + halves)

    def chance(self, k: int) -> float:
        """What the overlap at k is expected to be for two orders that have nothing to do with each other: k / n."""
        return k / self.n


@dataclass(frozen=True, eq=False)
class Comparison(Interactive):
    """Two runs compared: B − A."""

    a: RunResult
    b: RunResult
    labels: tuple[str, str]
    """What the two runs are called."""
    metric: str
    by: By
    quantity: Quantity
    paired: bool | None
    """Whether all lines are paired (True), none is (False), or some are (None)."""
    rows: tuple[Matched, ...]
    """In the order of A's plan."""
    only_a: tuple[Alone, ...]
    only_b: tuple[Alone, ...]
    agreement: Agreement
    differing: tuple[Differs, ...]
    """The settings in which the two runs differ."""
    across: tuple[str, ...]
    """Those of path, base, source, receivers that differ as a whole, across which experiments were matched."""
    warnings: tuple[str, ...] = ()

    @cached_property
    def graph(self) -> CircuitGraph | None:
        """The circuit of both, each experiment once; None where they are matched by group."""
        from circuitgraph.comparing.union import union_graph

        return None if self.by is By.GROUP else union_graph(self)

    def rows_of(self, side: str) -> tuple[Row, ...]:
        """The rows of `graph` as seen from one side, for tables and pictures: `a`, `b` or `difference`.

        An experiment that one run alone has is in that run's rows and not in the others.

        Raises:
            InputError: matched by group, or no such side.
        """
        from circuitgraph.comparing.union import rows_of

        return rows_of(self, side)

    def ranked(self) -> tuple[Matched, ...]:
        """Largest |difference| first."""
        return tuple(sorted(self.rows, key=lambda row: -abs(row.difference)))

    def flips(self) -> tuple[Matched, ...]:
        """Opposite signs, neither interval with 0; largest |difference| first."""
        return tuple(row for row in self.ranked() if row.clearly_flipped)

    def to_frame(self) -> pandas.DataFrame:
        """One line per matched experiment: `run_a`, `run_b`, `quantity` (of `a` and `b`), the fields of `Matched`."""
        import pandas

        about = {"run_a": self.labels[0], "run_b": self.labels[1], "quantity": self.quantity.value}
        return pandas.DataFrame([about | asdict(row) for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """All of it but the runs themselves, as plain data."""
        return {
            "labels": list(self.labels),
            "directories": [self.a.directory, self.b.directory],
            "metric": self.metric,
            "matched_by": self.by.value,
            "quantity": self.quantity.value,
            "paired": self.paired,
            "differing": [asdict(item) for item in self.differing],
            "across": list(self.across),
            "warnings": list(self.warnings),
            "agreement": asdict(self.agreement),
            "rows": [asdict(row) for row in self.rows],
            "only_a": [asdict(item) for item in self.only_a],
            "only_b": [asdict(item) for item in self.only_b],
        }


@dataclass(frozen=True, eq=False)
class Comparisons(Interactive):
    """Several runs, each compared with each."""

    runs: tuple[RunResult, ...]
    labels: tuple[str, ...]
    pairs: Mapping[tuple[int, int], Comparison]
    """(i, j), i < j → run i as A and run j as B."""

    @property
    def metric(self) -> str:
        """The metric of all of them."""
        return next(iter(self.pairs.values())).metric

    @property
    def first(self) -> Sequence[Comparison]:
        """Every other run against the first."""
        return [self.pairs[0, i] for i in range(1, len(self.runs))]

    def spearman(self, i: int, j: int) -> Correlation:
        """The rank correlation of runs i and j."""
        if i == j:
            return Correlation(1.0, 1.0, 1.0)
        return self.pairs[min(i, j), max(i, j)].agreement.spearman

    def to_frame(self) -> pandas.DataFrame:
        """All comparisons below each other."""
        import pandas

        return pandas.concat([found.to_frame() for found in self.pairs.values()], ignore_index=True)

    def to_json(self) -> dict[str, Any]:
        """All comparisons as plain data."""
        return {
            "labels": list(self.labels),
            "metric": self.metric,
            "comparisons": [{"a": i, "b": j, **found.to_json()} for (i, j), found in self.pairs.items()],
        }


def _leaves_out_zero(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low > 0 or high < 0)
