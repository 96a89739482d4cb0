"""Comparisons -> sheets and views: runs on one layout with their differences; matched by group, lines in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from circuitgraph.comparing.records import By, Comparison, Matched, Quantity
from circuitgraph.graph.claims import CircuitGraph
from circuitgraph.graph.usual import SETTINGS, unusual_settings, usual_settings
from circuitgraph.reporting.experiments import FOUND, column, found, metric_phrases
from circuitgraph.reporting.geometry import Json
from circuitgraph.reporting.sheets import Names, sheet
from circuitgraph.results.records import Row, RunResult

Pair = tuple[int, int]
Value = tuple[float | None, float | None, float | None, int | None]
"""An effect, its interval, and how many experiments it is the mean of."""
SIDE = ("effect", "ci_low", "ci_high", "experiments")
WITHOUT = ("metric_base", "metric_patched")
"""Columns of a row that say nothing of a difference."""


def add_comparisons(page: Json, runs: Sequence[RunResult], pairs: Mapping[Pair, Comparison]) -> None:
    """Add sheets, views and pairs to a page.

    Runs that are all matched by address share one sheet: one layout, whoever is compared. Else each pair has its own.

    Raises:
        NotFiniteError: NaN or infinity in a row; the message names it.
    """
    if all(comparison.by is By.ADDRESS for comparison in pairs.values()):
        _add_by_address(page, runs, pairs)
        return
    for pair, comparison in pairs.items():
        if comparison.by is By.ADDRESS:
            _add_by_address(page, runs, {pair: comparison})
        else:
            _add_by_group(page, runs, pair, comparison)


def _add_by_address(page: Json, runs: Sequence[RunResult], pairs: Mapping[Pair, Comparison]) -> None:
    own = _own_ids(pairs)
    involved = sorted({i for pair in pairs for i in pair})
    metric = next(iter(pairs.values())).metric
    known = {i: run for pair, each in pairs.items() for i, run in zip(pair, (each.a, each.b), strict=True)}
    sides = {i: _as(own[i], [row for row in known[i].rows if row.metric == metric]) for i in involved}
    differences = {pair: _as(own[pair[0]], c.rows_of("difference")) for pair, c in pairs.items()}
    kept = [runs[i] for i in involved]
    made = sheet(_union([c.graph for c in pairs.values() if c.graph], own, pairs), [*sides.values(),
                 *differences.values()], kept, runs, own)  # fmt: skip
    ids, at = made["items"]["id"], _put(page["sheets"], made)
    views = {i: _run_view(page, i, at, metric, {row.id: row for row in rows}, ids) for i, rows in sides.items()}
    for (i, j), comparison in pairs.items():
        blank = dict.fromkeys(WITHOUT)
        rows = {row.id: replace(row, **blank) for row in differences[i, j]}
        beside = _beside(own[i], comparison, (sides[i], sides[j]), ids)
        view = _difference_view(page, (i, j), at, metric, found(rows, ids), beside)
        _add_pair(page, (i, j), comparison, views[i], views[j], view)


def _own_ids(pairs: Mapping[Pair, Comparison]) -> dict[int, dict[str, str]]:
    """Run → its id of an experiment → the id of the first run that has it: they differ across settings alone."""
    own: dict[int, dict[str, str]] = {i: {} for pair in pairs for i in pair}
    for (i, j), comparison in pairs.items():
        for each in comparison.rows:
            for a, b in zip(each.ids_a, each.ids_b, strict=False):
                own[j].setdefault(b, own[i].get(a, a))
    return own


def _as(names: Mapping[str, str], rows: Sequence[Row]) -> list[Row]:
    return [replace(row, id=names.get(row.id, row.id)) for row in rows]


def _union(graphs: Sequence[CircuitGraph], own: Names, pairs: Mapping[Pair, Comparison]) -> CircuitGraph:
    """One circuit of all: each experiment once."""
    first = graphs[0]
    claims: dict[str, Any] = {}
    groups = {group.name: group for graph in reversed(graphs) for group in graph.groups}
    for (i, j), graph in zip(pairs, graphs, strict=True):
        for id_, claim in graph.by_id.items():
            if own[i].get(id_, id_) == id_ == own[j].get(id_, id_):
                claims.setdefault(id_, claim)
    return replace(first, claims=tuple(claims.values()), groups=tuple(groups.values()))


def _add_by_group(page: Json, runs: Sequence[RunResult], pair: Pair, comparison: Comparison) -> None:
    """The two runs each as it is, and the differences as lines without a graph."""
    views = []
    for i, run in zip(pair, (comparison.a, comparison.b), strict=True):
        rows = {row.id: row for row in run.rows if row.metric == comparison.metric}
        made = sheet(runs[i].graph, [list(rows.values())], [runs[i]], runs)
        views.append(_run_view(page, i, _put(page["sheets"], made), comparison.metric, rows, made["items"]["id"]))
    lines = comparison.rows
    how = [{name: value for name in SETTINGS if (value := getattr(each, name)) is not None} for each in lines]
    usual = usual_settings(how)
    items: Json = {
        "id": [each.key for each in lines],
        "kind": {"all": "group"},
        "sort": {"all": "between groups"},
        "label": [None for _ in lines],
        "arrow": [each.label for each in lines],
        "unusual": [", ".join(unusual_settings(each, usual).values()) for each in how],
        "parts": {"all": {}},
        **{
            name: [getattr(each, name) for each in lines]
            for name in ("sender", "sender_position", "receiver", "receiver_position", "path", "base", "source")
        },
        "ports": ["" for _ in lines],
        "groups": [[] for _ in lines],
        "texts": [],
        "stages": [[] for _ in lines],
        "names": [[] for _ in lines],
        "origins": {},
    }
    at = _put(page["sheets"], {"items": items, "all": len(lines), "least": None, "scene": None})
    columns = {name: {"all": None} for name in FOUND} | {
        "effect": [each.difference for each in lines],
        "n": [min(each.n_a, each.n_b) for each in lines],
        **{
            name: [getattr(each, name) for each in lines]
            for name in ("std_error", "ci_low", "ci_high", "interval", "p_value", "q_value")
        },
    }
    beside = [[_value(each, side) for each in lines] for side in "ab"]
    view = _difference_view(page, pair, at, comparison.metric, columns, beside)
    _add_pair(page, pair, comparison, views[0], views[1], view)


def _put(listed: list[Any], item: Any) -> int:
    """The place of an item in a list, to which it is added if it is not there."""
    if item not in listed:
        listed.append(item)
    return listed.index(item)


def _run_view(page: Json, i: int, at: int, metric: str, rows: Mapping[str, Row], ids: Sequence[str]) -> int:
    name = page["runs"][i]["name"]
    view = {"label": name, "short": name, "sheet": at, "runs": [i], "metrics": {metric: found(rows, ids)}}
    return _put(page["views"], view)


def _difference_view(
    page: Json, pair: Pair, at: int, metric: str, columns: Json, beside: Sequence[Sequence[Value]]
) -> int:
    """The difference, and beside it both sides in the quantity that was compared."""
    names = [page["runs"][i]["name"] for i in pair]
    sides = [
        {"short": name, **{key: column([value[k] for value in side]) for k, key in enumerate(SIDE)}}
        for name, side in zip(names, beside, strict=True)
    ]
    label = f"{names[1]} − {names[0]}"
    view = {"label": label, "short": "difference", "sheet": at, "runs": list(pair), "metrics": {metric: columns},
            "sides": sides}  # fmt: skip
    return _put(page["views"], view)


def _beside(
    own: Mapping[str, str], comparison: Comparison, rows: tuple[Sequence[Row], Sequence[Row]], ids: Sequence[str]
) -> list[list[Value]]:
    """What each experiment is in A and in B; where one alone has it, its effect, if effects are what is compared."""
    matched = {own.get(each.ids_a[0], each.ids_a[0]): each for each in comparison.rows}
    effects = comparison.quantity is Quantity.EFFECT
    sides: list[list[Value]] = []
    for side, listed in zip("ab", rows, strict=True):
        known: dict[str, Value] = (
            {row.id: (row.effect, row.ci_low, row.ci_high, 1) for row in listed} if effects else {}
        )
        known |= {id_: _value(each, side) for id_, each in matched.items()}
        sides.append([known.get(id_, (None, None, None, None)) for id_ in ids])
    return sides


def _value(each: Matched, side: str) -> Value:
    return (
        getattr(each, side),
        getattr(each, f"{side}_low"),
        getattr(each, f"{side}_high"),
        getattr(each, f"experiments_{side}"),
    )


def _add_pair(page: Json, pair: Pair, comparison: Comparison, a: int, b: int, difference: int) -> None:
    normalized = comparison.quantity is Quantity.NORMALIZED
    names = [page["runs"][i]["name"] for i in pair]
    phrases = dict(zip(comparison.a.metrics, metric_phrases(comparison.a), strict=False))
    page["pairs"].append(
        {
            "label": " and ".join(names),
            "runs": list(pair),
            "a": a,
            "b": b,
            "difference": difference,
            "matched_by": comparison.by.value,
            "quantity": "normalized effect" if normalized else "effect",
            "metric": phrases.get(comparison.metric, comparison.metric),
            "paired": comparison.paired,
            "differing": [asdict(item) for item in comparison.differing],
            "agreement": asdict(comparison.agreement),
        }
    )
