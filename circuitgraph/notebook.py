"""What notebooks show of a value: value -> MIME bundle, or its interactive page in a frame. No torch.

Pictures inside `text/html` are `<img>` of a data URI: unlike an `<svg>` among the notebook's own elements they are kept
by the sanitizers of untrusted notebooks and of GitHub, and their ids and styles meet nobody else's.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape

from circuitgraph.checks import Checked
from circuitgraph.comparing.picture import picture as side_by_side
from circuitgraph.comparing.picture import scatter_scene, scenes
from circuitgraph.comparing.records import Comparison, Comparisons
from circuitgraph.comparing.text import matrix_report
from circuitgraph.comparing.text import report as comparison_report
from circuitgraph.discovery.records import Discovery
from circuitgraph.discovery.report import discovery_table
from circuitgraph.drawing import Scene, scene, svg
from circuitgraph.drawing.beside import beside
from circuitgraph.drawing.text import each_line
from circuitgraph.errors import InputError
from circuitgraph.evaluation.text import report
from circuitgraph.graph.claims import CircuitGraph, claim_label
from circuitgraph.judging import Verdicts
from circuitgraph.markup import lines, preformatted, table
from circuitgraph.plans import Plan, explain_plan
from circuitgraph.plans.cost import cost_of, describe_cost
from circuitgraph.plans.explain import stages
from circuitgraph.results.attention import AttentionTable
from circuitgraph.results.attribution import AttributionTable
from circuitgraph.results.evaluated import Evaluation
from circuitgraph.results.records import RunResult
from circuitgraph.showing import HTML, PLAIN, SVG, Framed, Shown
from circuitgraph.spec.dump import dump_spec
from circuitgraph.spec.model import CircuitSpec
from circuitgraph.tables import attribution_tables, ranked, ranked_table, weights_table

Bundle = dict[str, str]

TOP = 10
"""Rows of a table."""
FIRST = 3
"""Experiments of a plan whose stages are told."""
METRICS = ("the metric",)
"""How a plan, which knows no metrics, names them."""


def bundle(value: Shown) -> Bundle:
    """MIME type → what to show of a value."""
    match value:
        case RunResult():
            return _result(value)
        case CircuitGraph():
            return _graph(value)
        case Checked():
            return _checked(value)
        case Plan():
            return _plan(value)
        case Comparison():
            return _compared(value, comparison_report(value, TOP))
        case Comparisons():
            return _compared(value, matrix_report(value, TOP))
        case Evaluation():
            return {PLAIN: report(value, TOP)}
        case Verdicts():
            return {PLAIN: value.text()}
        case Discovery():
            return {PLAIN: discovery_table(value, TOP)}
        case AttentionTable():
            return {PLAIN: weights_table(value)}
        case AttributionTable():
            return {PLAIN: attribution_tables(value, TOP)}
        case CircuitSpec():
            return {PLAIN: dump_spec(value)}
        case _:
            return {PLAIN: repr(value)}


def framed(value: Shown, height: int) -> Framed:
    """The interactive page of a run, or of several compared.

    Raises:
        InputError: the height is no positive number.
    """
    if isinstance(height, bool) or not isinstance(height, int) or height < 1:
        raise InputError(f"the height of a frame is a number of pixels, 1 or more, not {height!r}")
    from circuitgraph.reporting import page

    match value:
        case RunResult():
            html, name = page([value]), value.graph.name
        case Comparison():
            html, name = page([value.a, value.b], value), " and ".join(value.labels)
        case Comparisons():
            html, name = page(value.runs), f"{len(value.runs)} runs"
        case _:
            raise InputError(f"there is no page of a {type(value).__name__}")
    plain = f"the interactive page of {name}: run the cell to see it"
    still = bundle(value)
    return Framed(frame(html, height, name), {**({SVG: still[SVG]} if SVG in still else {}), PLAIN: plain})


def frame(page: str, height: int, name: str) -> str:
    """A page as an `<iframe>` that holds it whole: scripts run and may offer downloads, in an origin of their own."""
    return (
        f'<iframe srcdoc="{escape(page)}" title="{escape(name)}" sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{height}px;border:0" loading="lazy"></iframe>'
    )


def picture(drawn: Scene) -> tuple[str, str]:
    """A scene as SVG, and as an `<img>` of it."""
    text = svg(drawn)
    data = b64encode(text.encode()).decode()
    alternative = escape(each_line(drawn.description))
    image = (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{alternative}" width="{drawn.width:g}" '
        'style="max-width:100%;height:auto">'
    )
    return text, image


def _drawn(drawn: Scene | InputError, html: Sequence[str], plain: str) -> Bundle:
    """A picture with what stands below it; where there is too much to draw, what is said of that."""
    if isinstance(drawn, InputError):
        return {HTML: "".join([lines([str(drawn)]), *html]), PLAIN: f"{plain}\n\nnot drawn: {drawn}"}
    text, image = picture(drawn)
    return {HTML: "".join([image, *html]), SVG: text, PLAIN: plain}


def _scene(
    graph: CircuitGraph, result: RunResult | None = None, positions: Sequence[str] | None = None
) -> Scene | InputError:
    try:
        return scene(graph, result and result.primary, positions=positions)
    except InputError as error:
        return error


def _result(result: RunResult) -> Bundle:
    plain = f"{result.graph.name}\n{ranked_table(result, 2 * TOP)}"
    if not result.primary:
        return {PLAIN: plain}
    found = ranked(result, TOP)
    below = [*found.below, *(f"warning: {text}" for text in result.warnings)]
    html = [lines(found.facts), table(found.header, found.lines, text=(0, len(found.header) - 1)), lines(below)]
    positions = result.provenance.get("settings", {}).get("positions")
    return _drawn(_scene(result.graph, result, positions), html, plain)


def _compared(found: Comparison | Comparisons, told: str) -> Bundle:
    """A | B | difference, or the matrix with small multiples, and below it what `compare` prints."""
    try:
        drawn = _two_by_two(found) if isinstance(found, Comparison) else side_by_side(found)
    except InputError as error:
        drawn = error
    return _drawn(drawn, [preformatted(told)], told)


def _two_by_two(found: Comparison) -> Scene:
    """A | B above B − A | scatter plot: four in a row are too small to read in a cell."""
    return beside([*scenes(found), scatter_scene(found)], title=" and ".join(found.labels), across=2)


def _graph(graph: CircuitGraph) -> Bundle:
    return _drawn(_scene(graph), (), "\n".join(_told(graph)))


def _checked(found: Checked) -> Bundle:
    said = [f"warning: {text}" for text in found.warnings]
    said += [f"not checked: {text}" for text in found.unchecked]
    said = said or [f"{found.spec.name}: nothing wrong"]
    names = found.prompts.position_names() if found.prompts else None
    return _drawn(_scene(found.graph, positions=names), [lines(said)], "\n".join([*_told(found.graph), "", *said]))


def _told(graph: CircuitGraph) -> Iterator[str]:
    """A graph in words: its groups, and the first of its claims."""
    yield graph.name + (f": {graph.description}" if graph.description else "")
    for group in graph.groups:
        yield f"  {group.name}: {', '.join(map(str, group.members))}"
    yield _count(len(graph.claims), "experiment")
    yield from (f"  {claim_label(claim)}" for claim in graph.claims[: 2 * TOP])
    if len(graph.claims) > 2 * TOP:
        yield f"  … {len(graph.claims) - 2 * TOP:,} more"


def _plan(plan: Plan) -> Bundle:
    count = len(plan.experiments)
    if not count:
        return {PLAIN: f"plan of {plan.name}: no experiments"}
    first, cost = plan.experiments[:FIRST], describe_cost(cost_of(plan), None)
    more = [f"… {count - FIRST:,} more; all of them: circuitgraph.explain(spec)"] if count > FIRST else []
    told = explain_plan(Plan(plan.name, first), METRICS)
    rows = [
        ("" if place else f"{number}. {experiment.label}", stage.name, stage.said)
        for number, experiment in enumerate(first, start=1)
        for place, stage in enumerate(stages(experiment, METRICS))
    ]
    html = [lines([f"plan of {plan.name}", *cost]), table(("experiment", "stage", "what is done"), rows), lines(more)]
    return {
        HTML: "".join(html),
        PLAIN: "\n".join([f"plan of {plan.name}", *cost, "", told, *([""] if more else []), *more]),
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
