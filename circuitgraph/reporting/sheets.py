"""The experiments of one circuit, and where they are drawn -> a sheet of the page's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from circuitgraph.drawing import scene
from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.plans.types import Experiment
from circuitgraph.reporting.experiments import described, metric_phrases, origins, own_way, sentences
from circuitgraph.reporting.geometry import Json, geometry
from circuitgraph.results.records import Row, RunResult

Names = Mapping[int, Mapping[str, str]]
MOST = 1000
"""Experiments on a page: the strongest; all are in the run directory."""


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
