"""What was matched and measured, unit by unit -> the rows of a comparison. No files, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from circuitgraph.comparing.differences import SEED, Difference, Shares, shares
from circuitgraph.comparing.match import Match
from circuitgraph.comparing.records import Alone, Matched, Quantity
from circuitgraph.comparing.sample import Sample, sample
from circuitgraph.comparing.units import Unit
from circuitgraph.results.records import Row, RunResult
from circuitgraph.stats import intervals
from circuitgraph.stats.intervals import Floats, Intervals

WHAT = ("key", "label", "kind", "sender", "sender_position", "receiver", "receiver_position")
"""Columns that a unit has by itself."""
HOW = ("path", "base", "source")


@dataclass(frozen=True)
class Measured:
    """What one run measured of the matched units, in their order."""

    units: Sequence[Unit]
    sample: Sample
    executors: Sequence[str]
    """What measured each unit, or estimated it; several are joined by a comma."""
    known: Sequence[Row | None]
    """The run's own row of each unit; None where a unit is several experiments."""
    shares: Shares

    @cached_property
    def effects(self) -> Intervals:
        """Means and intervals of effects: those of the run's own table where it has one row for a unit."""
        several = [i for i, row in enumerate(self.known) if row is None]
        mean, error, low, high = np.full((4, len(self.known)), np.nan)
        methods: list[str | None] = [None] * len(self.known)
        for i, row in enumerate(self.known):
            if row is not None:
                mean[i], error[i] = row.effect, _nan(row.std_error)
                low[i], high[i], methods[i] = _nan(row.ci_low), _nan(row.ci_high), row.interval
        if several:
            made = intervals(self.sample.effects[several], self.sample.clusters, seed=SEED)
            mean[several], error[several], low[several], high[several] = made.mean, made.std_error, made.low, made.high
            for i, name in zip(several, made.method, strict=True):
                methods[i] = name
        return Intervals(mean, error, low, high, tuple(methods))

    def per_pair(self, of: Quantity) -> Floats:
        """[unit, pair] of the quantity that is compared."""
        return self.shares.influence if of is Quantity.NORMALIZED else self.sample.effects

    def told(self, of: Quantity) -> tuple[Floats, Floats, Floats]:
        """Values and ends of intervals, of each unit, of the quantity that is compared."""
        if of is Quantity.NORMALIZED:
            return self.shares.value, self.shares.low, self.shares.high
        return self.effects.mean, self.effects.low, self.effects.high


def measured(run: RunResult, units: Sequence[Unit], metric: str) -> Measured:
    """The run's side of the matched units."""
    rows = {row.id: row for row in run.rows if row.metric == metric}
    known = [rows[unit.ids[0]] if len(unit.ids) == 1 else None for unit in units]
    found = sample(run, units, metric)
    executors = [", ".join(sorted({rows[id_].executor for id_ in unit.ids})) for unit in units]
    return Measured(units, found, executors, known, shares(found, known))


def matched_rows(
    found: Match,
    metric: str,
    of: Quantity,
    sides: tuple[Measured, Measured],
    difference: Difference,
    normalized: Difference,
    together: np.ndarray,
) -> tuple[Matched, ...]:
    """One row for each matched unit.

    Args:
        difference: of the quantity that is compared.
        normalized: of normalized effects.
        together: of each unit, whether its pairs are the same in both runs.
    """
    told = [side.told(of) for side in sides]
    ranks = [_ranks(value) for value, _, _ in told]
    rows: list[Matched] = []
    for i, (a, b) in enumerate(found.both):
        values = [float(value[i]) for value, _, _ in told]
        rows.append(
            Matched(
                **{name: getattr(a, name) for name in WHAT},
                **{name: None if name in found.across else getattr(a, name) for name in HOW},
                metric=metric,
                difference=values[1] - values[0],
                std_error=_none(difference.std_error[i]),
                ci_low=_none(difference.low[i]),
                ci_high=_none(difference.high[i]),
                interval=difference.method[i],
                p_value=_none(difference.p[i]),
                q_value=_none(difference.q[i]),
                paired=bool(together[i]),
                normalized_difference=_none(sides[1].shares.value[i] - sides[0].shares.value[i]),
                normalized_ci_low=_none(normalized.low[i]),
                normalized_ci_high=_none(normalized.high[i]),
                flipped=values[0] * values[1] < 0,
                **_side("a", a, i, sides[0], told[0], ranks[0]),
                **_side("b", b, i, sides[1], told[1], ranks[1]),
            )
        )
    return tuple(rows)


def _side(
    letter: str, unit: Unit, i: int, side: Measured, told: tuple[Floats, Floats, Floats], ranks: np.ndarray
) -> dict[str, Any]:
    """The columns of one run."""
    value, low, high = told
    known = side.known[i]
    return {
        letter: float(value[i]),
        f"{letter}_low": _none(low[i]),
        f"{letter}_high": _none(high[i]),
        f"effect_{letter}": float(side.effects.mean[i]),
        f"normalized_{letter}": _none(side.shares.value[i]),
        f"n_{letter}": side.sample.pairs,
        f"experiments_{letter}": len(unit.ids),
        f"rank_{letter}": int(ranks[i]),
        f"q_{letter}": None if known is None else known.q_value,
        f"executor_{letter}": side.executors[i],
        f"ids_{letter}": unit.ids,
    }


def alone(run: RunResult, units: Sequence[Unit], metric: str) -> tuple[Alone, ...]:
    """What this run alone has."""
    rows = {row.id: row for row in run.rows if row.metric == metric}
    return tuple(_alone(unit, [rows[id_] for id_ in unit.ids if id_ in rows]) for unit in units)


def _alone(unit: Unit, rows: Sequence[Row]) -> Alone:
    one = rows[0] if len(rows) == 1 else None
    return Alone(
        key=unit.key,
        label=unit.label,
        effect=float(np.mean([row.effect for row in rows])),
        ci_low=None if one is None else one.ci_low,
        ci_high=None if one is None else one.ci_high,
        ids=unit.ids,
        path=unit.path,
        base=unit.base,
        source=unit.source,
        why=unit.why,
    )


def _ranks(values: Floats) -> np.ndarray:
    """Places by size, from 1."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(-np.abs(values), kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


def _none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
