"""(RunResult, RunResult) -> Comparison: matched, subtracted, ranked. No files, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from circuitgraph.comparing.agreement import Pairs, agreement
from circuitgraph.comparing.differences import Difference, paired, unpaired
from circuitgraph.comparing.match import Match, match
from circuitgraph.comparing.metric import as_in, chosen
from circuitgraph.comparing.records import Comparison, Comparisons, Quantity
from circuitgraph.comparing.rows import Measured, alone, matched_rows, measured
from circuitgraph.comparing.sample import Clusters, joint_clusters, same_pairs, shared_prompts
from circuitgraph.comparing.settings import differing, shapes_differ
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.results.records import RunResult
from circuitgraph.stats import benjamini_hochberg
from circuitgraph.stats.intervals import Floats

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
        quantity: `effect`, `normalized` or `auto`: normalized where the architectures differ, or the base.
        resamples: of the prompts, for the intervals of correlations.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: no such metric, way of matching or quantity; nothing in common; no normalized effects.
    """
    named = labels or distinct_labels([a, b])
    names = (named[0], named[1])
    metric = metric or a.metrics[0]
    b = as_in(b, a, metric)
    unlike_metric, unsure = chosen(a, b, names, metric)
    found = match(a, b, names, by)
    sides = (
        measured(a, [left for left, _ in found.both], metric),
        measured(b, [right for _, right in found.both], metric),
    )
    unlike = "units of two models may differ" if shapes_differ(a.graph.shape, b.graph.shape) else ""
    if "base" in found.across:
        unlike = "on the clean and on the corrupted prompt they have opposite signs by definition"
    of, doubts = _quantity(quantity, unlike, sides, names)
    values = [side.per_pair(of) for side in sides]
    together = _paired(a, b, found)
    whole = bool(together.all())
    joint = joint_clusters(a, b) if together.any() else None
    own = sides[0].sample.clusters, sides[1].sample.clusters
    difference = _difference(values, together, joint, own)
    normalized = _difference([side.shares.influence for side in sides], together, joint, own, tested=False)
    return Comparison(
        a=a,
        b=b,
        labels=names,
        metric=metric,
        by=found.by,
        quantity=of,
        paired=whole if whole or not together.any() else None,
        rows=matched_rows(found, metric, of, sides, difference, normalized, together),
        only_a=alone(a, found.only_a, metric),
        only_b=alone(b, found.only_b, metric),
        agreement=agreement(
            *(Pairs(*each) for each in zip(values, (joint, joint) if whole else own, strict=True)),
            paired=whole,
            resamples=resamples,
            progress=progress,
        ),
        differing=(*differing(a, b), *unlike_metric),
        across=found.across,
        warnings=(*found.warnings, *unsure, *doubts, *_sample_warnings(a, b, names, together)),
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
    runs = [as_in(run, runs[0], metric) for run in runs]
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


def _quantity(
    wanted: str, unlike: str, sides: tuple[Measured, Measured], labels: tuple[str, str]
) -> tuple[Quantity, list[str]]:
    """What is compared, and a warning where that is not what should be.

    Args:
        unlike: why effects as they are should not be compared; "" = they may be.
    """
    if wanted not in QUANTITIES:
        raise InputError(f"'{wanted}' is nothing to compare{did_you_mean(wanted, QUANTITIES)}")
    if wanted == Quantity.EFFECT or (wanted == "auto" and not unlike):
        return Quantity.EFFECT, [f"effects are compared as they are, and {unlike}"] if unlike else []
    missing = [name for name, side in zip(labels, sides, strict=True) if np.isnan(side.shares.value).any()]
    if not missing:
        return Quantity.NORMALIZED, []
    why = (
        f"'{missing[0]}' has effects without a normalized one: "
        "it has no other prompt, or its gap is not clearly different from 0"
    )
    if wanted == "auto":
        return Quantity.EFFECT, [f"{why}; so effects are compared as they are, and {unlike}"]
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
    joint: Clusters,
    own: tuple[Clusters, Clusters],
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
        made = paired(left, right, joint, tested=tested) if same else unpaired(left, right, *own)
        blank[:, rows] = made.mean, made.std_error, made.low, made.high, made.p, made.q
        for i, name in zip(rows, made.method, strict=True):
            methods[i] = name
    mean, error, low, high, p, _ = blank
    return Difference(mean, error, low, high, tuple(methods), p, benjamini_hochberg(p))


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
