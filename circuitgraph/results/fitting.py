"""Whether the files of a run fit each other and its plan: a table of another run gives wrong numbers in silence. Pure.

All numbers of a run are stored as the float64 they were computed with, so what is computed from them again differs by
the order of additions alone. Of n summands that is at most n · 1.1e-16 of the mean of their sizes; `ROUNDING` of it
leaves room for a million pairs, and none for a number that was edited or measured on something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from circuitgraph.errors import FileError
from circuitgraph.results.names import ATTENTION, ATTRIBUTION, BASELINE, EDGES, EFFECTS, MANIFEST, PROMPTS, SCREENING
from circuitgraph.results.prompts import prompt_set
from circuitgraph.results.records import Measured, Row, RunResult
from circuitgraph.stats import Verdict

ROUNDING = 1e-9
Key = tuple[str, str]
Matrix = NDArray[np.float64]


def check_fit(run: RunResult, measured: Sequence[Measured], directory: Path) -> None:
    """Refuse a run whose tables are not those of its plan, or not of one another.

    Args:
        measured: what effects.parquet holds.

    Raises:
        FileError: the message names the file and the first thing that does not fit.
    """
    for name, misfit in chain(_of_table(run, measured), _of_numbers(run, measured), _of_others(run, directory)):
        raise FileError(f"cannot use {directory / name}: {misfit}")


Misfits = Iterator[tuple[str, str]]
"""File, what does not fit. Each check may rely on those before it: the first misfit ends them."""


def _of_table(run: RunResult, measured: Sequence[Measured]) -> Misfits:
    """Each experiment of the plan once under each metric, in both tables, and as the plan has it."""
    wanted = [(experiment.id, metric) for metric in run.metrics for experiment in run.plan.experiments]
    if not wanted:
        yield EDGES, "it has no rows"
    keys = [(row.id, row.metric) for row in run.rows]
    if keys != wanted:
        yield EDGES, f"{_difference(run, keys, wanted)}, so it is not the table of this run's plan"
    found = [(item.id, item.metric) for item in measured]
    if len(found) != len(wanted) or set(found) != set(wanted):
        yield EFFECTS, f"{_difference(run, found, wanted)}, so it does not fit {EDGES}"
    if tuple(dict.fromkeys(item.metric for item in measured)) != run.metrics:
        yield EFFECTS, f"its metrics are not in the order of {EDGES}"
    plan = {experiment.id: experiment for experiment in run.plan.experiments}
    for row in run.rows:
        experiment = plan[row.id]
        if row.kind != experiment.kind or row.base != experiment.base.value:
            said = f"{row.kind} with base {row.base}, not {experiment.kind} with base {experiment.base.value}"
            yield EDGES, f"it calls {experiment.label} (id {row.id}) {said}"
        if row.verdict is not None and row.verdict not in list(Verdict):
            yield EDGES, f"the verdict on {experiment.label} is {row.verdict!r}, none of {', '.join(Verdict)}"


def _difference(run: RunResult, found: Sequence[Key], wanted: Sequence[Key]) -> str:
    labels = {experiment.id: experiment.label for experiment in run.plan.experiments}
    here, there = Counter(found), set(wanted)
    for id_, metric in found:
        if id_ not in labels:
            return f"it has experiment {id_}, which the plan has not"
        if (id_, metric) not in there:
            return f"it has {labels[id_]} (id {id_}) under {metric}"
        if here[id_, metric] > 1:
            return f"it has {labels[id_]} (id {id_}) {here[id_, metric]} times under {metric}"
    for id_, metric in wanted:
        if (id_, metric) not in here:
            return f"it lacks {labels[id_]} (id {id_}) under {metric}"
    return "its rows are not in the order of the plan"


def _of_numbers(run: RunResult, measured: Sequence[Measured]) -> Misfits:
    """As many pairs everywhere, and means that are those of the pairs."""
    of_key = {(item.id, item.metric): item for item in measured}
    items = [of_key[row.id, row.metric] for row in run.rows]
    pairs = len(items[0].metric_base)
    for row, item in zip(run.rows, items, strict=True):
        if len(item.metric_base) != pairs or not pairs:
            yield EFFECTS, f"{_named(row)} has {len(item.metric_base)} pairs, and the first experiment {pairs}"
        if row.n != pairs:
            yield EDGES, f"n of {_named(row)} is {row.n}, and {EFFECTS} has {pairs} pairs"
        if (row.metric_other is None) != (item.metric_other is None):
            yield EDGES, f"metric_other of {_named(row)} is {row.metric_other}, unlike in {EFFECTS}"
        if row.draws != (None if item.draws is None else item.draws.shape[1]):
            yield EDGES, f"draws of {_named(row)} is {row.draws}, unlike in {EFFECTS}"
    base, patched = _matrix([item.metric_base for item in items]), _matrix([item.metric_patched for item in items])
    yield from _means(run.rows, "metric_base", base)
    yield from _means(run.rows, "metric_patched", patched)
    yield from _means(run.rows, "effect", patched - base)
    others = [(row, item.metric_other) for row, item in zip(run.rows, items, strict=True)]
    known = [(row, other) for row, other in others if other is not None]
    if known:
        yield from _means([row for row, _ in known], "metric_other", _matrix([other for _, other in known]))
    yield from _shares(run, np.abs(patched - base).mean(axis=1))


def _matrix(arrays: Sequence[Matrix]) -> Matrix:
    return np.concatenate(arrays).reshape(len(arrays), -1)


def _means(rows: Sequence[Row], column: str, values: Matrix) -> Misfits:
    """`column` of each row is the mean of its values, [rows, pairs]."""
    said = np.array([getattr(row, column) for row in rows], dtype=np.float64)
    means = values.mean(axis=1)
    for i in map(int, np.flatnonzero(~(np.abs(means - said) <= ROUNDING * np.abs(values).mean(axis=1)))):
        yield EDGES, f"{column} of {_named(rows[i])} is {said[i]}, and the mean of its pairs in {EFFECTS} {means[i]}"


def _shares(run: RunResult, sizes: Matrix) -> Misfits:
    """A normalized effect is the effect as a share of the gap of its base, which its experiments share.

    `sizes`: the mean |effect| of each row's pairs.
    """
    gaps = {key: (float(gap.mean()), float(np.abs(gap).mean())) for key, gap in run.gaps.items()}
    for row, effect_size in zip(run.rows, sizes.tolist(), strict=True):
        share = row.normalized_effect
        if share is None or (row.base, row.metric) not in gaps:
            continue
        gap, size = gaps[row.base, row.metric]
        if not abs(share * gap - row.effect) <= ROUNDING * (effect_size + abs(share) * size):
            yield (
                EDGES,
                f"normalized_effect of {_named(row)} is {share}, and {row.effect} of a gap of {gap} is not that",
            )


def _of_others(run: RunResult, directory: Path) -> Misfits:
    """The files beside the two tables: of as many pairs, and of the same experiments."""
    pairs = run.rows[0].n
    if (directory / PROMPTS).exists() and len(run.prompts) != pairs:
        yield PROMPTS, f"it has {len(run.prompts)} prompts, and {EDGES} {pairs} pairs"
    if run.prompts and prompt_set(run.prompts).digest() != run.provenance.get("prompts_sha256"):
        yield PROMPTS, f"these are not the prompts that were measured, by prompts_sha256 of {MANIFEST}"
    for name, table in ((ATTENTION, run.attention), (ATTRIBUTION, run.attribution)):
        if table is not None and any(n != pairs for n in (table.n, *(row.n for row in table.rows))):
            yield name, f"it is not of the {pairs} pairs of {EDGES}"
    yield from _of_baseline(run, pairs)
    if run.screening is not None:
        told = {row.id: row.effect for row in run.screening.rows if row.effect is not None}
        if told != {row.id: row.effect for row in run.primary}:
            yield SCREENING, f"the effects of what was measured are not those of {EDGES}"


def _of_baseline(run: RunResult, pairs: int) -> Misfits:
    """Random edges have no pairs in effects.parquet: their numbers are held against one another."""
    own = {experiment.id for experiment in run.plan.experiments}
    counts = Counter(row.id for row in run.baseline)
    most = max((row.percentile_of or 0 for row in run.rows), default=0)
    if most > len(run.baseline):
        yield BASELINE, f"it has {len(run.baseline)} random edges, and {EDGES} compares with {most}"
    scale = max((abs(v) for row in run.baseline for v in (row.metric_base, row.metric_patched)), default=0.0)
    for row in run.baseline:
        if row.id in own or counts[row.id] > 1:
            yield BASELINE, f"{_named(row)} is {'no random edge' if row.id in own else 'in it twice'}"
        if row.metric != run.metrics[0] or row.n != pairs:
            yield BASELINE, f"{_named(row)} is measured on {row.n} pairs, and {EDGES} {run.metrics[0]} on {pairs}"
        if not abs(row.metric_patched - row.metric_base - row.effect) <= ROUNDING * scale:
            yield BASELINE, f"effect of {_named(row)} is not metric_patched − metric_base"


def _named(row: Row) -> str:
    return f"{row.label} (id {row.id}) under {row.metric}"
