"""Rows -> rows with p-values, with what was expected of them, and with their place among random edges. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.results.records import Measured, Row
from circuitgraph.spec.model import ExpectSpec
from circuitgraph.stats import Region, benjamini_hochberg, judge, same_sign, sign_flip_p


def with_significance(
    rows: Sequence[Row],
    measured: Sequence[Measured],
    clusters: Sequence[str] | None,
    seed: int,
    tested: NDArray[np.bool_],
) -> list[Row]:
    """The rows of one metric with share of pairs of one sign, p-value and q-value; p and q where `tested` is true."""
    if not rows:
        return []
    effects = np.stack([item.effect for item in measured])
    shares = same_sign(effects)
    p = np.where(tested, sign_flip_p(effects, clusters, seed=seed), np.nan)
    q = benjamini_hochberg(p)
    return [
        replace(row, same_sign=_or_none(shares[i]), p_value=_or_none(p[i]), q_value=_or_none(q[i]))
        for i, row in enumerate(rows)
    ]


def with_verdicts(rows: Sequence[Row], graph: CircuitGraph) -> tuple[Row, ...]:
    """The rows of the first metric with what the spec expects of them, and what their intervals say of it."""
    return tuple(_judged(row, graph.by_id[row.id].expect) for row in rows)


def with_percentiles(rows: Sequence[Row], among: Mapping[str, Sequence[float]]) -> tuple[Row, ...]:
    """The rows with their place among the effects of random edges; `among`: experiment id → those effects."""
    found = []
    for row in rows:
        effects = np.abs(among.get(row.id, ()))
        if len(effects):
            share = float((effects < abs(row.effect)).mean())
            row = replace(row, percentile=100 * share, percentile_of=len(effects))
        found.append(row)
    return tuple(found)


def region_of(expect: ExpectSpec) -> Region:
    """The values that are expected."""
    low, high = expect.bounds
    return Region(
        low, high, open_low=low == 0 and expect.sign == "positive", open_high=high == 0 and expect.sign == "negative"
    )


def _judged(row: Row, expect: ExpectSpec | None) -> Row:
    if expect is None:
        return row
    region = region_of(expect)
    found = judge(region, row.effect, row.ci_low, row.ci_high, row.n)
    return replace(row, expected=str(region), verdict=found.verdict.value, pairs_needed=found.pairs_needed)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
