"""What chose the experiments of a run, and what they are held against: screening, random edges, estimates."""

from __future__ import annotations

from collections.abc import Iterator

from circuitgraph.drawing.style import number
from circuitgraph.reporting.sections.bars import Bar, bar_table
from circuitgraph.reporting.sections.charts import Axis, Chart, Swarm
from circuitgraph.reporting.sections.figures import count, digits_of, figure, percent
from circuitgraph.reporting.sections.markup import Markup, element, joined
from circuitgraph.reporting.sections.pieces import boxed, facts, folded, named, paragraph, table
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.records import Row, RunResult
from circuitgraph.results.screening import Estimated, Screening
from circuitgraph.spec.model import EstimateMethod

MOST_ROWS = 100
MOST_DOTS = 1500
DOT = 2.6


def estimates_section(result: RunResult, prefix: str) -> Section | None:
    """None of a run that measured everything."""
    methods = sorted({row.executor for row in result.rows} & set(EstimateMethod))
    if not methods:
        return None
    settings = result.provenance.get("settings", {}).get("spec", {}).get("estimate") or {}
    said = paragraph(
        element("strong", None, "Estimated, not measured."), " Every effect of this run is a first-order estimate by ",
        ", ".join(methods), " from gradients: how the metric begins to change as values move towards the source. "
        "Where the model is not linear on the way, the exact effect is another number.",
    )  # fmt: skip
    given = facts((str(key), str(value)) for key, value in settings.items())
    return Section(f"{prefix}estimates", "Estimates", said + given)


def screening_section(result: RunResult, prefix: str) -> Section | None:
    """None of a run that was not screened."""
    found = result.screening
    if found is None:
        return None
    html = joined(
        paragraph(
            f"{found.method} estimated ", count(len(found.rows), "experiment"), f" on {found.screened_on}; the ",
            figure(found.measured, 0), f" largest were measured on {found.measured_on}. Those that were left out were "
            "left out because of their estimates: this says nothing of effects that were missed.",
        ),
        facts(_agreement(found)),
        *_scatter(found),
        folded("As numbers", boxed(_estimates(found), label="Estimates and effects")),
    )  # fmt: skip
    return Section(f"{prefix}screening", "Screening", html)


def _agreement(found: Screening) -> Iterator[tuple[str, Markup]]:
    yield (
        "Rank correlation of sizes",
        joined("Spearman ", figure(found.spearman, 2), ", Kendall ", figure(found.kendall, 2)),
    )
    yield "Same sign", percent(found.same_sign, digits=0)
    for k, share in found.top.items():
        yield f"Of the {k} largest", joined(percent(share, digits=0), " are the same")


def _scatter(found: Screening) -> Iterator[Markup]:
    both = [row for row in found.rows if row.effect is not None][:MOST_DOTS]
    if len(both) < 2:
        return
    values = [value for row in both for value in (row.estimate, row.effect or 0.0)]
    x = Axis.over([*values, 0.0], f"estimate by {found.method}")
    y = Axis.over([*values, 0.0], "effect")
    label = f"estimate and effect of {len(both)} experiments, as in the table below"
    chart = Chart(x, y, 300, label)
    low, high = max(x.low, y.low), min(x.high, y.high)
    chart.line(chart.x(low), chart.y(low), chart.x(high), chart.y(high), "s-same")
    for row in reversed(both):
        effect = row.effect or 0.0
        said = f"{row.label}: estimate {number(row.estimate)}, effect {number(effect)}"
        chart.dot(chart.x(row.estimate), chart.y(effect), "s-dot-pos" if effect > 0 else "s-dot-neg", said, DOT)
    yield element("div", {"class": "s-charts"}, chart.made())
    yield paragraph(
        f"Upwards the effect on {found.metric}, to the right its estimate; on the dashed line they are equal."
    )


def _estimates(found: Screening) -> Markup:
    digits = digits_of(row.estimate for row in found.rows)
    rows = [
        (named(row.label), figure(row.rank, 0), figure(row.estimate, digits, sign=True),
         "not measured" if row.effect is None else figure(row.effect, digits, sign=True))
        for row in _told(found)
    ]  # fmt: skip
    more = len(found.rows) - len(rows)
    caption = f"the {len(rows)} largest estimates; {more:,} more in screening.parquet" if more else None
    return table(("experiment", "rank", "estimate", "effect"), rows, caption=caption)


def _told(found: Screening) -> tuple[Estimated, ...]:
    return found.rows[: max(MOST_ROWS, 1)]


def baseline_section(result: RunResult, prefix: str) -> Section | None:
    """None of a run without random edges."""
    ranked = [row for row in result.ranked() if row.percentile is not None]
    if not result.baseline or not ranked:
        return None
    html = joined(
        paragraph(
            count(len(result.baseline), "random edge"), " were measured beside the hypothesis. A percentile says how "
            "many of those of the same kind have a smaller effect, by size.",
        ),
        element("div", {"class": "s-charts"}, _strip(result, ranked)),
        paragraph(f"Size of the effect on {ranked[0].metric}: dots are random edges, diamonds the hypothesis."),
        bar_table(
            [Bar(named(row.label), (row.percentile or 0.0) / 100, exact=True,
                 cells=(figure(row.percentile_of, 0), figure(row.effect, sign=True))) for row in ranked[:MOST_ROWS]],
            ("experiment", "smaller among them", "random edges", "effect"), shares=True, signed=False,
            marks=(0.0, 1.0), noun="more experiments",
        ),
    )  # fmt: skip
    return Section(f"{prefix}baseline", "Random edges", html)


def _strip(result: RunResult, ranked: list[Row]) -> Markup:
    random = sorted(abs(row.effect) for row in result.baseline)[-MOST_DOTS:]
    own = [abs(row.effect) for row in ranked]
    axis, place = Axis.powers([*random, *own], "size of the effect")
    below = sum(value < max(own) for value in random)
    label = f"{below} of {len(random)} random edges have a smaller effect than the largest of the hypothesis"
    dots = Swarm([place(value) for value in random], axis, DOT)
    chart = Chart(axis, None, dots.high + 96, label)
    for value, (x, y) in zip(random, dots.places(chart), strict=True):
        chart.dot(x, y, "s-random", f"a random edge: {number(value)}", DOT)
    for row in reversed(ranked):
        chart.diamond(chart.x(place(abs(row.effect))), 24, "s-own", f"{row.label}: {number(row.effect)}", 5.5)
    return chart.made()
