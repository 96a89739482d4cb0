"""RunResults -> the same metric under one name: it is known by what it measures, not by its label. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from circuitgraph.comparing.records import Differs
from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.results.records import RunResult


def as_in(run: RunResult, like: RunResult, metric: str) -> RunResult:
    """The run with its metric of the same definition called as in `like`; unchanged where it has none."""
    wanted = definition(like, metric)
    if metric in run.metrics or wanted is None:
        return run
    name = next((name for name in run.metrics if definition(run, name) == wanted), None)
    if name is None:
        return run
    names = {name: metric}
    return replace(
        run,
        rows=tuple(replace(row, metric=names.get(row.metric, row.metric)) for row in run.rows),
        baseline=tuple(replace(row, metric=names.get(row.metric, row.metric)) for row in run.baseline),
        effects={(id_, names.get(each, each)): values for (id_, each), values in run.effects.items()},
        gaps={(base, names.get(each, each)): values for (base, each), values in run.gaps.items()},
        metrics=tuple(names.get(each, each) for each in run.metrics),
    )


def chosen(a: RunResult, b: RunResult, labels: tuple[str, str], metric: str) -> tuple[tuple[Differs, ...], list[str]]:
    """How the two runs' metric of a name differs, and what to say of that.

    Raises:
        InputError: a run has no such metric, or it is another one in A than in B.
    """
    for run, name in ((a, labels[0]), (b, labels[1])):
        if metric not in run.metrics:
            raise InputError(f"'{metric}' is no metric of '{name}'{did_you_mean(metric, run.metrics)}")
    left, right = definition(a, metric), definition(b, metric)
    if left is None or right is None or left == right:
        return (), []
    if left["name"] != right["name"]:
        raise InputError(
            f"'{metric}' is {left['name']} in '{labels[0]}' and {right['name']} in '{labels[1]}', which have no "
            "difference: choose a metric that both have"
        )
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    found = tuple(Differs(f"metric.{key}", _text(left.get(key)), _text(right.get(key))) for key in keys)
    told = ", ".join(f"{each.name.partition('.')[2]} {each.a or 'not set'} and {each.b or 'not set'}" for each in found)
    return found, [f"'{metric}' is not the same measure in both runs: {told}"]


def definition(run: RunResult, metric: str) -> Mapping[str, Any] | None:
    """The metric as the run's spec defines it, without its label; None where no spec is known."""
    written = ((run.provenance.get("settings") or {}).get("spec") or {}).get("metrics")
    if metric not in run.metrics or not isinstance(written, Sequence) or len(written) != len(run.metrics):
        return None
    found = written[run.metrics.index(metric)]
    return {"at": "END"} | {key: value for key, value in found.items() if key != "label" and value is not None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
