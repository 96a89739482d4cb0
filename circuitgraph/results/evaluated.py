"""What an evaluation found, as frozen records and as JSON. Means over prompt pairs; None = no meaning.

    F(X) = (m(X) − m(∅)) / (m(base) − m(∅))

m(X): the metric of the run in which X is current and everything else carries the source; ∅: nothing is current.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from circuitgraph.errors import FileError
from circuitgraph.results.decode import decoded
from circuitgraph.results.files import read_json, write_json
from circuitgraph.showing import Shown
from circuitgraph.stats import Verdict

KIND, FORMAT = "evaluation", 1


class CurveKind(StrEnum):
    """Which parts are ranked: the hypothesis' (by what dropping each one does), all, or no curve."""

    HYPOTHESIS = "hypothesis"
    ALL = "all"
    NONE = "none"


class DropKind(StrEnum):
    """What is dropped from a circuit."""

    EDGE = "edge"
    NODE = "node"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of m(base) − m(∅), a ratio of means, with its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One run: the mean of the metric, and F of what was current in it."""

    metric: float
    faithfulness: Share


@dataclass(frozen=True, slots=True)
class Dropped:
    """The circuit without one edge, node or group: `change` = F(C without it) − F(C)."""

    kind: DropKind
    name: str
    count: int
    """How many of the circuit's edges (or nodes) that takes away."""
    faithfulness: Share
    """F of what is left."""
    change: Share


@dataclass(frozen=True, slots=True)
class RandomCircuits:
    """F of random circuits of the same make, in the order in which they were drawn."""

    seed: int
    faithfulness: tuple[float | None, ...]
    median: float | None
    lowest: float | None
    highest: float | None
    below: float | None
    """The share of random circuits whose F is below the hypothesis': its percentile / 100."""
    without_alternative: tuple[str, ...]
    """Kinds of which the hypothesis holds all that the model has."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """F with the first `kept` parts of the ranking; `share` of all the model's parts."""

    kept: int
    share: float
    metric: float
    faithfulness: Share


@dataclass(frozen=True, slots=True)
class Curve:
    """F against the share of parts that are kept, and the areas CPR and CMD (see `curve`)."""

    kind: CurveKind
    ranking: tuple[str, ...]
    """The parts, first kept first: ranked under the primary metric."""
    points: tuple[CurvePoint, ...]
    cpr: float | None
    cmd: float | None


@dataclass(frozen=True, slots=True)
class MetricScores:
    """Everything under one metric."""

    metric: str
    base: Scored
    empty: Scored
    circuit: Scored
    rest: Scored
    """The circuit knocked out; its F is the completeness."""
    dropped: tuple[Dropped, ...]
    """Largest |change| first."""
    random: RandomCircuits | None
    curve: Curve | None
    no_share: str | None = None
    """Why there are no shares, if there are none."""

    @property
    def faithfulness(self) -> Share:
        """F of the circuit: 1 = it does what the whole model does."""
        return self.circuit.faithfulness

    @property
    def completeness(self) -> Share:
        """F of the rest, the circuit knocked out: 0 = nothing is left outside the circuit."""
        return self.rest.faithfulness


@dataclass(frozen=True, slots=True)
class Expected:
    """What the spec demands of `faithfulness` or `completeness` (primary metric), and whether it holds."""

    what: str
    region: str
    verdict: Verdict
    pairs_needed: int | None
    """While undecided: how many pairs would decide; None = no number can be told."""


@dataclass(frozen=True, slots=True)
class Evaluation(Shown):
    """A circuit as a whole. `metrics`: the first is primary.

    Attributes:
        parts: the circuit's edges or nodes, each with its positions.
        model_parts: how many the model has.
        runs: forward passes over all pairs, caches not counted.
    """

    name: str
    of: str
    base: str
    source: str
    pairs: int
    parts: tuple[str, ...]
    model_parts: int
    kept: tuple[str, ...]
    empty_is_other: bool
    metrics: tuple[MetricScores, ...]
    expected: tuple[Expected, ...]
    runs: int
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def primary(self) -> MetricScores:
        """The first metric."""
        return self.metrics[0]

    @property
    def faithfulness(self) -> Share:
        """Of the primary metric."""
        return self.primary.faithfulness

    @property
    def completeness(self) -> Share:
        """Of the primary metric."""
        return self.primary.completeness

    def to_json(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return {"kind": KIND, "format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """What `to_json` made, read from JSON.

        Raises:
            ValueError: it is something else, of a newer format, or a part of it is missing or of another kind.
        """
        if not isinstance(value, Mapping) or value.get("kind") != KIND:
            raise ValueError("it is no evaluation")
        if value.get("format") != FORMAT:
            raise ValueError(f"it has format {value.get('format')}; this version of circuitgraph reads {FORMAT}")
        return decoded(cls, {key: item for key, item in value.items() if key not in ("kind", "format")})

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            FileError: the file cannot be written; nothing is left behind.
        """
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """What `write` wrote.

        Raises:
            FileError: missing or damaged.
        """
        try:
            return cls.from_json(read_json(path))
        except ValueError as error:
            raise FileError(f"cannot read {path}: {error}") from error
