"""RunResults (+ comparisons) -> what the page holds as JSON: sheets of experiments with a scene, and views of them.

sheets   experiments and where they are drawn; runs that are compared share one
views    the numbers of one run, or of a difference, on a sheet, for each metric
pairs    which three views the switch A · B · difference shows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitgraph.drawing import scene, style
from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.plans.types import Experiment
from circuitgraph.reporting.experiments import (
    FOUND,
    described,
    found,
    metric_phrases,
    origins,
    own_way,
    sentences,
)
from circuitgraph.reporting.geometry import SCALE, geometry
from circuitgraph.results.records import Row, RunResult
from circuitgraph.spec.model import EstimateMethod

if TYPE_CHECKING:
    from circuitgraph.comparing.records import Comparison

Json = dict[str, Any]
STYLE = {
    "widest": (style.WIDEST, style.WIDEST_OF_MANY),
    "narrowest": (style.NARROWEST, style.NARROWEST_IN_A_CROWD),
    "full": (style.FULL_INK, style.FULL_INK_IN_A_CROWD),
    "faintest": (style.FAINTEST, style.FAINTEST_IN_A_CROWD),
    "dots": style.FAINTEST_DOTS,
    "pale": style.PALE,
    "crowd": style.CROWD,
}
"""How arrows look, as in the pictures; of two values the second is for many."""
Names = Mapping[int, Mapping[str, str]]
MOST = 1000
"""Experiments on a page: the strongest; all are in the run directory."""


def data_of(
    runs: Sequence[RunResult], names: Sequence[str], comparisons: Mapping[tuple[int, int], Comparison], title: str
) -> Json:
    """Everything that the page's program reads.

    Args:
        names: what the runs are called.
        comparisons: (i, j) → the comparison of run i with run j; empty for a single run.

    Raises:
        NotFiniteError: NaN or infinity in a row; the message names it.
    """
    page: Json = {
        "title": title,
        "estimates": list(map(str, EstimateMethod)),
        "runs": [_run(*each) | {"prefix": prefix_of(i, runs)} for i, each in enumerate(zip(runs, names, strict=True))],
        "columns": FOUND,
        "scale": SCALE,
        "style": STYLE,
        "sheets": [], "views": [], "pairs": [],
    }  # fmt: skip
    if comparisons:
        from circuitgraph.reporting.compared import add_comparisons

        add_comparisons(page, runs, comparisons)
    else:
        rows = runs[0].primary if runs[0].metrics else ()
        page["sheets"].append(sheet(runs[0].graph, [rows], runs, runs))
        ids = page["sheets"][0]["items"]["id"]
        of_metric = {metric: found(_rows(runs[0].rows, metric), ids) for metric in runs[0].metrics}
        name = page["runs"][0]["name"]
        page["views"].append({"label": name, "short": name, "sheet": 0, "runs": [0], "metrics": of_metric})
    return page


def prefix_of(i: int, runs: Sequence[RunResult]) -> str:
    """What the ids of a run's sections begin with."""
    return f"run-{i + 1}-" if len(runs) > 1 else ""


def sheet(
    graph: CircuitGraph,
    sides: Sequence[Sequence[Row]],
    shown: Sequence[RunResult],
    runs: Sequence[RunResult],
    own: Names | None = None,
) -> Json:
    """The experiments of a graph, the strongest under any of `sides` (rows of one metric each), and their scene.

    Args:
        shown: the runs that the sheet is of.
        runs: all runs of the page, in whose specs the experiments are looked for.
        own: number of a run → its id of an experiment → the id in `graph`, where they differ.
    """
    every = list(graph.by_id)
    size: dict[str, float] = {}
    for row in (row for side in sides for row in side):
        size[row.id] = max(size.get(row.id, 0.0), abs(row.effect))
    kept = set(every if len(every) <= MOST else sorted(every, key=lambda id_: -size.get(id_, 0.0))[:MOST])
    claims = {id_: claim for id_, claim in graph.by_id.items() if id_ in kept}
    part = replace(graph, claims=tuple(claims.values()))
    rows = {row.id: row for side in reversed(sides) for row in side if row.id in kept}
    experiments: dict[str, Experiment] = {}
    for result in shown:
        experiments = {each.id: each for each in result.plan.experiments if each.id in kept} | experiments
    ids = list(claims)
    metrics = metric_phrases(shown[0])
    items = described(claims, rows, graph.groups) | sentences(experiments, claims, metrics)
    items["own"] = {
        str(i): way
        for i, result in enumerate(runs)
        if result in shown and (way := own_way(result, claims, items, metrics, (own or {}).get(i, {})))
    }
    items["origins"] = {str(i): origins(result, ids, (own or {}).get(i, {})) for i, result in enumerate(runs)}
    drawable = bool(claims or graph.groups)
    drawn = scene(part, list(rows.values()) or None, positions=_positions(shown)) if drawable else None
    return {
        "items": items,
        "all": len(every),
        "least": max((size.get(id_, 0.0) for id_ in every if id_ not in kept), default=None),
        "scene": drawn and geometry(drawn, {id_: i for i, id_ in enumerate(ids)}),
    }


def _positions(runs: Sequence[RunResult]) -> list[str]:
    """The names of positions in the order of the prompt."""
    return list(dict.fromkeys(name for run in runs for name in run.provenance.get("settings", {}).get("positions", ())))


def _rows(rows: Sequence[Row], metric: str) -> dict[str, Row]:
    return {row.id: row for row in rows if row.metric == metric}


def _run(result: RunResult, name: str) -> Json:
    known = result.provenance
    return {
        "name": name,
        "spec": result.graph.name,
        "model": known.get("settings", {}).get("model", {}).get("name"),
        "directory": Path(result.directory).name if result.directory else None,
        **{key: known.get(key) for key in ("spec_sha256", "plan_sha256", "prompts_sha256", "model_fingerprint")},
        "metrics": list(result.metrics),
        "said": dict(zip(result.metrics, metric_phrases(result), strict=False)),
    }
