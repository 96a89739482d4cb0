"""Random circuits as dots along a line, and faithfulness against the number of parts kept as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitgraph.drawing.style import MINUS
from circuitgraph.reporting.sections.charts import Axis, Chart, Swarm
from circuitgraph.reporting.sections.figures import count, figure, percent
from circuitgraph.reporting.sections.markup import Markup, element, joined
from circuitgraph.reporting.sections.pieces import boxed, folded, named, paragraph, table
from circuitgraph.results.evaluated import Curve, CurveKind, CurvePoint, RandomCircuits, Share

DOT = 3.2
LINE_HIGH = 190.0


def _said(share: float) -> str:
    return f"{100 * share:.0f} %".replace("-", MINUS)


def _exact(share: float) -> str:
    return f"{100 * share:.1f} %".replace("-", MINUS)


def random_chart(random: RandomCircuits, own: Share, of: str) -> Iterator[Markup]:
    """Each random circuit a dot, the hypothesis a diamond with its interval."""
    known = [value for value in random.faithfulness if value is not None]
    if known and own.value is not None:
        yield element("div", {"class": "s-charts"}, _strip(known, own))
        yield paragraph(
            count(len(known), "random circuit"), f" with as many {of} of the same kinds and positions, seed "
            f"{random.seed}: median ", percent(random.median), ", lowest ", percent(random.lowest), ", highest ",
            percent(random.highest), "; ", percent(random.below, digits=0), " of them are below the hypothesis’ ",
            percent(own.value), ".",
        )  # fmt: skip
        values = [element("li", None, percent(value)) for value in sorted(known)]
        yield folded("Their faithfulness as numbers", element("ul", {"class": "s-values"}, *values))
    else:
        yield paragraph(f"{len(random.faithfulness)} were run; there are no shares to compare.")
    if random.without_alternative:
        yield paragraph(f"No alternative in the model: {'; '.join(random.without_alternative)}.")


def _strip(known: Sequence[float], own: Share) -> Markup:
    reached = [*known, 0.0, 1.0, *(end for end in (own.value, own.low, own.high) if end is not None)]
    axis = Axis.over(reached, "faithfulness", _said)
    label = f"{len(known)} random circuits reach {_exact(min(known))} to {_exact(max(known))}; the hypothesis "
    ordered = sorted(known)
    dots = Swarm(ordered, axis, DOT)
    chart = Chart(axis, None, dots.high + 96, label + ("" if own.value is None else _exact(own.value)))
    for value, (x, y) in zip(ordered, dots.places(chart), strict=True):
        chart.dot(x, y, "s-random", f"a random circuit: {_exact(value)}", DOT)
    y = 26.0
    if own.low is not None and own.high is not None:
        chart.line(chart.x(own.low), y, chart.x(own.high), y, "s-own-ci")
    if own.value is not None:
        chart.diamond(chart.x(own.value), y, "s-own", f"the hypothesis: {_exact(own.value)}")
        right = chart.x(own.value) > 200
        chart.text(
            chart.x(own.value) + (-12 if right else 12), y - 8, "the hypothesis", "s-word", "end" if right else "start"
        )
    return chart.made()


def curve_charts(curve: Curve, of: str) -> Iterator[Markup]:
    """Close by, as far as parts were ranked; and over the whole model, where CPR and CMD are areas."""
    points = [point for point in curve.points if point.faithfulness.value is not None]
    ranked = "the hypothesis’ parts" if curve.kind is CurveKind.HYPOTHESIS else "all parts of the model"
    yield paragraph(f"Faithfulness with the first {of} alone, {ranked} ranked by the size of what each does.")
    if len(points) < 2:
        yield paragraph("There are no shares to draw.")
        return
    charts = [_close(curve, points, of), _whole(points, of)]
    yield element("div", {"class": "s-charts"}, *charts)
    if curve.cpr is not None and curve.cmd is not None:
        yield paragraph(
            "CPR ", figure(curve.cpr, 4), " (the area under the line), CMD ", figure(curve.cmd, 4),
            " (between the line and 100 %), over ", count(len(curve.points), "measured point"),
            f". From {curve.points[-2].kept:,} to {curve.points[-1].kept:,} {of} nothing was measured: a straight line."
            if curve.points[-1].kept - curve.points[-2].kept > 1 else ".",
        )  # fmt: skip
    yield folded("The points as numbers, and the ranking", _points_table(curve, of), _ranking(curve))


def _close(curve: Curve, points: Sequence[CurvePoint], of: str) -> Markup:
    """Over the number of parts kept, without the last stretch if nothing was measured in it; of all parts, in steps."""
    if curve.kind is CurveKind.HYPOTHESIS:
        shown = points[:-1] if len(points) > 2 and points[-1].kept - points[-2].kept > 1 else points
        places = [float(point.kept) for point in shown]
        x = Axis.over([0.0, *places], f"{of} kept", lambda value: f"{value:g}")
    else:
        shown = points
        places = [float(index) for index in range(len(points))]
        ticks = tuple(places[:: max(1, -(-len(places) // 6))])
        said = {place: f"{point.kept:,}" for place, point in zip(places, points, strict=True)}
        x = Axis(0.0, places[-1], f"{of} kept, each step as wide", lambda value: said[value], ticks)
    chart = Chart(x, _shares(points), LINE_HIGH, f"faithfulness against {of} kept: {_words(shown)}")
    _draw(chart, list(zip(places, shown, strict=True)))
    return chart.made()


def _whole(points: Sequence[CurvePoint], of: str) -> Markup:
    x = Axis.over([0.0, 1.0], f"share of the model’s {of} kept", _said)
    chart = Chart(x, _shares(points), LINE_HIGH, f"faithfulness against the share of {of} kept: {_words(points)}")
    line = [(point.share, point.faithfulness.value or 0.0) for point in points]
    chart.polygon([(line[0][0], 0.0), *line, (line[-1][0], 0.0)], "s-area")
    _draw(chart, [(point.share, point) for point in points], radius=2.0)
    return chart.made()


def _draw(chart: Chart, places: Sequence[tuple[float, CurvePoint]], radius: float = 2.6) -> None:
    """The band of the intervals, the line, and its points."""
    band = [
        (x, p.faithfulness) for x, p in places if p.faithfulness.low is not None and p.faithfulness.high is not None
    ]
    lower = [(x, share.low) for x, share in band if share.low is not None]
    upper = [(x, share.high) for x, share in band if share.high is not None]
    if len(band) > 1:
        chart.polygon([*lower, *reversed(upper)], "s-band")
    line = [(x, point.faithfulness.value or 0.0) for x, point in places]
    chart.polyline(line, "s-line")
    for (x, point), (_, y) in zip(places, line, strict=True):
        chart.dot(chart.x(x), chart.y(y), "s-point", f"{point.kept:,} kept: {_exact(y)}", radius)


def _shares(points: Sequence[CurvePoint]) -> Axis:
    reached = [x for p in points for x in (p.faithfulness.value, p.faithfulness.low, p.faithfulness.high)]
    return Axis.over([0.0, 1.0, *(x for x in reached if x is not None)], "faithfulness", _said)


def _words(points: Sequence[CurvePoint]) -> str:
    step = max(1, len(points) // 6)
    some = [*points[:-1:step], points[-1]]
    return ", ".join(f"{point.kept:,}: {_exact(point.faithfulness.value or 0.0)}" for point in some)


def _points_table(curve: Curve, of: str) -> Markup:
    rows = [
        (figure(point.kept, 0), percent(point.share), percent(point.faithfulness.value), figure(point.metric))
        for point in curve.points
    ]
    return boxed(
        table((f"{of} kept", "of the model’s", "faithfulness", "metric"), rows), label="The points of the curve"
    )


def _ranking(curve: Curve) -> Markup:
    names = [element("li", None, named(name)) for name in curve.ranking[:200]]
    more = len(curve.ranking) - len(names)
    rest = [paragraph(f"and {more:,} more")] if more > 0 else []
    return joined(element("ol", {"class": "s-ranking"}, *names), *rest)
