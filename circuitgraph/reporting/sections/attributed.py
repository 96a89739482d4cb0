"""Direct logit attribution: what components write towards a metric, largest first, and the sum of all of it."""

from __future__ import annotations

from collections.abc import Iterator

from circuitgraph.plotting.bars import attribution_pictures
from circuitgraph.plotting.values import HeatMap
from circuitgraph.reporting.sections.bars import Bar, bar_table
from circuitgraph.reporting.sections.figures import count, figure, percent
from circuitgraph.reporting.sections.mapped import heat_map
from circuitgraph.reporting.sections.markup import Markup, joined
from circuitgraph.reporting.sections.pieces import folded, heading, named, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.attribution import AttributionTable, Total
from circuitgraph.results.records import RunResult

FIRST, MOST = 12, 100
"""Components that are shown at once, and at all."""


def attribution_section(result: RunResult, prefix: str) -> Section | None:
    """None of a run whose spec does not ask for it."""
    table = result.attribution
    if table is None or not table.rows:
        return None
    parts = [piece for total in table.totals for piece in _attributed(table, total)]
    maps = [picture for picture in attribution_pictures(table) if isinstance(picture, HeatMap)]
    more = [folded("As heat maps", *map(heat_map, maps))] if maps else []
    return Section(f"{prefix}attribution", "Direct logit attribution", joined(*parts, *more))


def _attributed(table: AttributionTable, total: Total) -> Iterator[Markup]:
    rows = [row for row in table.rows if (row.metric, row.at) == (total.metric, total.at)]
    ranked = sorted(rows, key=lambda row: -abs(row.value))
    said = {"difference": "clean − corrupted run"}.get(table.of, f"{table.of} run")
    yield heading(f"{total.metric} at {total.at}, {said}")
    yield paragraph(
        "What each component writes towards the metric, through the final norm as it was in the run: "
        "a reading, not the effect of anything. ", count(table.n, "prompt"), ".",
    )  # fmt: skip
    bars = [
        Bar(named(row.label), row.value, row.ci_low, row.ci_high, (percent(row.share, sign=True),))
        for row in ranked[:MOST]
    ]
    yield bar_table(bars, ("component", "writes, 95 % interval", "share"), first=FIRST, noun="more components")
    if rest := ranked[MOST:]:
        yield paragraph(
            f"{len(rest):,} more, together ", figure(sum(row.value for row in rest), sign=True),
            ", in the run directory’s attribution.parquet.",
        )  # fmt: skip
    yield paragraph(
        "All ", count(len(rows), "component"), " together: ", figure(sum(row.value for row in rows), 4, sign=True),
        "; the metric: ", figure(total.value, 4, sign=True), ". In every prompt the sum is the metric to ",
        figure(total.residue), " of the size of what is added up.", kind="s-said s-sum",
    )  # fmt: skip
