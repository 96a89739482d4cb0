"""(RunResult, RunResult) -> Comparison: matched, subtracted, ranked. No files, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from circuitgraph.comparing.agreement import Pairs, agreement
from circuitgraph.comparing.differences import SEED, Difference, Shares, paired, shares, unpaired
from circuitgraph.comparing.match import Match, match
from circuitgraph.comparing.records import Alone, Comparison, Comparisons, Matched, Quantity
from circuitgraph.comparing.sample import Sample, joint_clusters, same_pairs, sample, shared_prompts
from circuitgraph.comparing.settings import differing, shapes_differ
from circuitgraph.comparing.units import Unit
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.results.records import Row, RunResult
from circuitgraph.stats import benjamini_hochberg, intervals
from circuitgraph.stats.intervals import Floats, Intervals

MANY_SHARED = 0.1
"""Unpaired runs that share more than this part of their prompts are told of."""
QUANTITIES = ("auto", *(quantity.value for quantity in Quantity))
Progress = Callable[[int, int], None]


def compare_two(
    a: RunResult,
    b: RunResult,
    *,
    labels: tuple[str, str] | None = None,
    metric: str | None = None,
    by: str = "auto",
    quantity: str = "auto",
    resamples: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """B − A for every experiment that both runs have.

    Args:
        labels: what the runs are called; their names if not given.
        metric: the first metric of A if not given.
        by: `address`, `group` or `auto`: by address where the architectures are the same.
        quantity: `effect`, `normalized` or `auto`: normalized where the architectures differ.
        resamples: of the prompts, for the intervals of correlations.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: no such metric, way of matching or quantity; nothing in common; no normalized effects.
    """
    named = labels or distinct_labels([a, b])
    names = (named[0], named[1])
    metric = _metric(a, b, names, metric)
    found = match(a, b, names, by)
    units = [side[0] for side in found.both], [side[1] for side in found.both]
    samples = sample(a, units[0], metric), sample(b, units[1], metric)
    known = _known(a, units[0], metric), _known(b, units[1], metric)
    share = shares(samples[0], known[0]), shares(samples[1], known[1])
    of, doubts = _quantity(quantity, bool(shapes_differ(a.graph.shape, b.graph.shape)), share, names)
    values = [
        each.influence if of is Quantity.NORMALIZED else s.effects for each, s in zip(share, samples, strict=True)
    ]
    together = _paired(a, b, found)
    difference = _difference(values, together, a, b, samples)
    normalized = _difference([each.influence for each in share], together, a, b, samples, tested=False)
    rows = _rows(found, metric, of, known, samples, share, difference, normalized, together)
    whole = together.all()
    clusters = (joint_clusters(a, b),) * 2 if whole else (samples[0].clusters, samples[1].clusters)
    return Comparison(
        a=a,
        b=b,
        labels=names,
        metric=metric,
        by=found.by,
        quantity=of,
        paired=bool(whole) if whole or not together.any() else None,
        rows=rows,
        only_a=tuple(_alone(unit, a, metric) for unit in found.only_a),
        only_b=tuple(_alone(unit, b, metric) for unit in found.only_b),
        agreement=agreement(
            *(Pairs(each, groups) for each, groups in zip(values, clusters, strict=True)),
            paired=bool(whole),
            resamples=resamples,
            progress=progress,
        ),
        differing=differing(a, b),
        across=found.across,
        warnings=(*found.warnings, *doubts, *_sample_warnings(a, b, names, together)),
    )


def compare_all(
    runs: Sequence[RunResult],
    *,
    labels: Sequence[str] | None = None,
    metric: str | None = None,
    by: str = "auto",
    quantity: str = "auto",
    resamples: int | None = None,
    progress: Progress | None = None,
) -> Comparisons:
    """Each of several runs with each; arguments as in `compare_two`, `metric` is the first of the first run.

    Raises:
        InputError: as `compare_two`; fewer than two runs.
    """
    if len(runs) < 2:
        raise InputError(f"compare takes at least two runs, not {len(runs)}")
    names = tuple(labels or distinct_labels(runs))
    metric = metric or runs[0].metrics[0]
    pairs: dict[tuple[int, int], Comparison] = {}
    number = len(runs) * (len(runs) - 1) // 2
    for step, (i, j) in enumerate(combinations(range(len(runs)), 2)):
        pairs[i, j] = compare_two(
            runs[i],
            runs[j],
            labels=(names[i], names[j]),
            metric=metric,
            by=by,
            quantity=quantity,
            resamples=resamples,
        )
        if progress is not None:
            progress(step + 1, number)
    return Comparisons(tuple(runs), names, pairs)


def distinct_labels(runs: Sequence[RunResult]) -> tuple[str, ...]:
    """The names of the runs' circuits; where these are shared, the runs' directories, or else letters after them."""
    names = [run.graph.name for run in runs]
    if len(set(names)) < len(names):
        folders = [None if run.directory is None else run.directory.replace("\\", "/").rstrip("/") for run in runs]
        if all(folders) and len(set(folders)) == len(folders):
            short = [str(folder).rpartition("/")[2] for folder in folders]
            return tuple(short if len(set(short)) == len(short) else map(str, folders))
        names = [f"{name} ({chr(ord('A') + i)})" for i, name in enumerate(names)]
    return tuple(names)


def _metric(a: RunResult, b: RunResult, labels: tuple[str, str], metric: str | None) -> str:
    metric = metric or a.metrics[0]
    for run, name in ((a, labels[0]), (b, labels[1])):
        if metric not in run.metrics:
            raise InputError(f"'{metric}' is no metric of '{name}'{did_you_mean(metric, run.metrics)}")
    return metric


def _quantity(
    wanted: str, shapes: bool, share: tuple[Shares, Shares], labels: tuple[str, str]
) -> tuple[Quantity, list[str]]:
    """What is compared, and a warning where that is not what should be."""
    if wanted not in QUANTITIES:
        raise InputError(f"'{wanted}' is nothing to compare{did_you_mean(wanted, QUANTITIES)}")
    if wanted == Quantity.EFFECT or (wanted == "auto" and not shapes):
        return Quantity.EFFECT, []
    missing = [name for name, each in zip(labels, share, strict=True) if np.isnan(each.value).any()]
    if not missing:
        return Quantity.NORMALIZED, []
    why = (
        f"'{missing[0]}' has effects without a normalized one: "
        "it has no other prompt, or its gap is not clearly different from 0"
    )
    if wanted == "auto":
        return Quantity.EFFECT, [f"{why}; so effects are compared as they are, and units of two models may differ"]
    raise InputError(f"{why}; compare effects in the metric's own units: --of {Quantity.EFFECT}")


def _paired(a: RunResult, b: RunResult, found: Match) -> np.ndarray:
    """Of each matched unit, whether its pairs are the same in both runs."""
    known: dict[tuple[str, str], bool] = {}
    for left, right in found.both:
        bases = left.base, right.base
        if bases not in known:
            known[bases] = same_pairs(a, b, bases)
    return np.array([known[left.base, right.base] for left, right in found.both], dtype=bool)


def _difference(
    values: Sequence[Floats],
    together: np.ndarray,
    a: RunResult,
    b: RunResult,
    samples: tuple[Sample, Sample],
    *,
    tested: bool = True,
) -> Difference:
    """Of each unit, paired where its pairs are the same; q-values over all of them."""
    count = len(together)
    blank = np.full((6, count), np.nan)
    methods: list[str | None] = [None] * count
    for same in (True, False):
        rows = np.flatnonzero((together == same) & ~np.isnan(values[0]).any(axis=1) & ~np.isnan(values[1]).any(axis=1))
        if not len(rows):
            continue
        left, right = values[0][rows], values[1][rows]
        clusters = samples[0].clusters, samples[1].clusters
        made = paired(left, right, joint_clusters(a, b), tested=tested) if same else unpaired(left, right, *clusters)
        blank[:, rows] = made.mean, made.std_error, made.low, made.high, made.p, made.q
        for i, name in zip(rows, made.method, strict=True):
            methods[i] = name
    mean, error, low, high, p, _ = blank
    return Difference(mean, error, low, high, tuple(methods), p, benjamini_hochberg(p))


def _rows(
    found: Match,
    metric: str,
    of: Quantity,
    known: tuple[Sequence[Row | None], Sequence[Row | None]],
    samples: tuple[Sample, Sample],
    share: tuple[Shares, Shares],
    difference: Difference,
    normalized: Difference,
    together: np.ndarray,
) -> tuple[Matched, ...]:
    sides = [_side(*each) for each in zip(known, samples, strict=True)]
    compared = [
        (each.value, each.low, each.high) if of is Quantity.NORMALIZED else (side.mean, side.low, side.high)
        for each, (side, _) in zip(share, sides, strict=True)
    ]
    ranks = [_ranks(values[0]) for values in compared]
    rows: list[Matched] = []
    for i, (a, b) in enumerate(found.both):
        value_a, value_b = (float(value[i]) for value, _, _ in compared)
        (low_a, high_a), (low_b, high_b) = ([_none(low[i]), _none(high[i])] for _, low, high in compared)
        shared = {name: None if name in found.across else getattr(a, name) for name in ("path", "base", "source")}
        rows.append(
            Matched(
                key=a.key,
                label=a.label,
                kind=a.kind,
                sender=a.sender,
                sender_position=a.sender_position,
                receiver=a.receiver,
                receiver_position=a.receiver_position,
                **shared,
                metric=metric,
                a=value_a,
                a_low=low_a,
                a_high=high_a,
                b=value_b,
                b_low=low_b,
                b_high=high_b,
                difference=value_b - value_a,
                std_error=_none(difference.std_error[i]),
                ci_low=_none(difference.low[i]),
                ci_high=_none(difference.high[i]),
                interval=difference.method[i],
                p_value=_none(difference.p[i]),
                q_value=_none(difference.q[i]),
                paired=bool(together[i]),
                effect_a=float(sides[0][0].mean[i]),
                effect_b=float(sides[1][0].mean[i]),
                normalized_a=_none(share[0].value[i]),
                normalized_b=_none(share[1].value[i]),
                normalized_difference=_none(share[1].value[i] - share[0].value[i]),
                normalized_ci_low=_none(normalized.low[i]),
                normalized_ci_high=_none(normalized.high[i]),
                n_a=samples[0].pairs,
                n_b=samples[1].pairs,
                experiments_a=len(a.ids),
                experiments_b=len(b.ids),
                rank_a=int(ranks[0][i]),
                rank_b=int(ranks[1][i]),
                q_a=sides[0][1][i],
                q_b=sides[1][1][i],
                flipped=value_a * value_b < 0,
                ids_a=a.ids,
                ids_b=b.ids,
            )
        )
    return tuple(rows)


def _known(run: RunResult, units: Sequence[Unit], metric: str) -> list[Row | None]:
    """The run's own row of each unit; None where a unit is several experiments."""
    rows = {row.id: row for row in run.rows if row.metric == metric}
    return [rows[unit.ids[0]] if len(unit.ids) == 1 else None for unit in units]


def _side(single: Sequence[Row | None], found: Sample) -> tuple[Intervals, list[float | None]]:
    """Means and intervals of effects, those of the run's own table where there is one row for a unit; and q-values."""
    several = [i for i, row in enumerate(single) if row is None]
    made = intervals(found.effects[several], found.clusters, seed=SEED) if several else None
    mean, error, low, high = np.full((4, len(single)), np.nan)
    methods: list[str | None] = [None] * len(single)
    for i, row in enumerate(single):
        if row is not None:
            mean[i], error[i], low[i], high[i] = (_nan(x) for x in (row.effect, row.std_error, row.ci_low, row.ci_high))
            methods[i] = row.interval
    if made is not None:
        mean[several], error[several], low[several], high[several] = made.mean, made.std_error, made.low, made.high
        for i, name in zip(several, made.method, strict=True):
            methods[i] = name
    return Intervals(mean, error, low, high, tuple(methods)), [None if row is None else row.q_value for row in single]


def _alone(unit: Unit, run: RunResult, metric: str) -> Alone:
    rows: list[Row] = [row for row in run.rows if row.metric == metric and row.id in unit.ids]
    one = rows[0] if len(rows) == 1 else None
    return Alone(
        key=unit.key,
        label=unit.label,
        effect=float(np.mean([row.effect for row in rows])),
        ci_low=None if one is None else one.ci_low,
        ci_high=None if one is None else one.ci_high,
        ids=unit.ids,
        why=unit.why,
    )


def _sample_warnings(a: RunResult, b: RunResult, labels: tuple[str, str], together: np.ndarray) -> list[str]:
    """What a reader should know of prompts that are not known, or partly the same."""
    if together.all():
        return []
    without = [name for run, name in ((a, labels[0]), (b, labels[1])) if not run.prompts]
    if without:
        return [
            f"'{without[0]}' kept no prompts, so that differences are unpaired: intervals are right, and wider than "
            "they would be if the prompts are the same; run it anew to have them paired"
        ]
    if (shared := shared_prompts(a, b)) > len(b.prompts) * MANY_SHARED:
        return [
            f"{shared} of the {len(b.prompts)} clean prompts of '{labels[1]}' are in '{labels[0]}' too, but pair by "
            "pair they are not the same: differences are unpaired, as if all prompts were different ones"
        ]
    return []


def _ranks(values: Floats) -> np.ndarray:
    """Places by size, from 1."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(-np.abs(values), kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


def _none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
