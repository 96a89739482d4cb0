"""RunResults (+ comparisons) -> what the page holds as JSON: sheets of experiments with a scene, and views of them.

sheets   experiments and where they are drawn; runs that are compared share one
views    the numbers of one run, or of a difference, on a sheet, for each metric
pairs    which three views the switch A · B · difference shows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitgraph.drawing import style
from circuitgraph.reporting.compared import add_comparisons
from circuitgraph.reporting.experiments import FOUND, found, metric_phrases
from circuitgraph.reporting.geometry import SCALE, Json
from circuitgraph.reporting.sheets import sheet
from circuitgraph.results.records import Row, RunResult
from circuitgraph.spec.model import EstimateMethod

if TYPE_CHECKING:
    from circuitgraph.comparing.records import Comparison

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
