"""The circuit as a whole: is it enough, is it all, is each part of it needed, does a random one do as well?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from circuitgraph.drawing.style import MINUS
from circuitgraph.reporting.sections.bars import Bar, bar_table
from circuitgraph.reporting.sections.curved import curve_charts, random_chart
from circuitgraph.reporting.sections.figures import count, figure, percent
from circuitgraph.reporting.sections.markup import Markup, element, joined
from circuitgraph.reporting.sections.pieces import folded, heading, named, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.evaluated import DropKind, Dropped, Evaluation, Expected, MetricScores, Share
from circuitgraph.results.records import RunResult
from circuitgraph.spec.model import Of
from circuitgraph.stats import Verdict

FIRST = 10
"""Parts of the circuit that are shown at once."""
WHERE = {"device": "device", "dtype": "dtype"}


def evaluation_section(result: RunResult, prefix: str) -> Section | None:
    """None of a run that was not evaluated (`circuitgraph evaluate RUN`)."""
    found = result.evaluation
    if found is None:
        return None
    first, *others = found.metrics
    html = joined(
        paragraph(*_about(found)),
        _verdicts(found),
        *_metric(found, first),
        *(folded(f"Under {scores.metric}", *_metric(found, scores)) for scores in others),
        folded("What these numbers are", element("dl", {"class": "s-facts"}, *_definitions(found))),
        _apart(found.provenance, result.provenance),
        _warnings(found.warnings),
    )
    return Section(f"{prefix}evaluation", "The circuit as a whole", html)


def _about(found: Evaluation) -> Iterator[Markup | str]:
    yield count(len(found.parts), found.of.removesuffix("s"))
    yield " of the model’s "
    yield figure(found.model_parts, 0)
    yield ", on "
    yield count(found.pairs, "pair")
    yield f". Base: the {found.base} run; what is outside the circuit carries: {found.source}."
    if found.kept:
        yield f" Kept in every run: {', '.join(found.kept)}."


def _verdicts(found: Evaluation) -> Markup | None:
    if not found.expected:
        return None
    return element("ul", {"class": "s-verdicts"}, *map(_verdict, found.expected))


def _verdict(item: Expected) -> Markup:
    marks = {Verdict.SUPPORTED: "✓", Verdict.REFUTED: "✗", Verdict.UNDECIDED: "?"}
    needed = "" if item.pairs_needed is None else f"; about {item.pairs_needed:,} pairs would decide"
    chip = element("b", {"class": f"s-chip s-{item.verdict}"}, f"{marks[item.verdict]} {item.verdict}")
    return element("li", None, chip, f" {item.what}: expected {item.region.replace('-', MINUS)}{needed}")


def _metric(found: Evaluation, scores: MetricScores) -> Iterator[Markup]:
    yield _cards(scores)
    if scores.no_share is not None:
        yield paragraph(f"There are no shares: {scores.no_share}.", kind="s-said s-warning")
    yield heading("Alone and knocked out")
    yield _whole(found, scores)
    for kind in DropKind:
        items = [item for item in scores.dropped if item.kind is kind]
        if items:
            yield heading(f"Without each {kind}")
            yield _dropped(found, kind, items)
    if scores.random is not None:
        yield heading("Against random circuits")
        yield from random_chart(scores.random, scores.faithfulness, found.of)
    if scores.curve is not None:
        yield heading("Part by part")
        yield from curve_charts(scores.curve, found.of)


def _cards(scores: MetricScores) -> Markup:
    needed = _needed(scores)
    below = None if scores.random is None or scores.random.below is None else scores.random
    cards = [
        _card("Faithfulness", scores.faithfulness, "alone, the circuit does so much of the task"),
        _card("Completeness", scores.completeness, "so much is left when it is knocked out"),
    ]
    if needed is not None:
        kind, sure, total = needed
        cards.append(_number_card("Minimality", joined(figure(sure, 0), " of ", count(total, kind)),
                                  "are needed: without each, the circuit does less (interval below 0)"))  # fmt: skip
    if below is not None:
        cards.append(_number_card("Random circuits", percent(below.below, digits=0),
                                  f"of {len(below.faithfulness)} like it do less of the task"))  # fmt: skip
    return element("div", {"class": "s-cards"}, *cards)


def _card(name: str, share: Share, meaning: str) -> Markup:
    interval = None
    if share.low is not None and share.high is not None:
        interval = joined(percent(share.low, unit=False), " to ", percent(share.high))
    return _number_card(name, percent(share.value), meaning, interval)


def _number_card(name: str, number: Markup, meaning: str, interval: Markup | None = None) -> Markup:
    return element(
        "div",
        {"class": "s-card"},
        element("span", {"class": "s-card-name"}, name),
        element("span", {"class": "s-card-number"}, number),
        None if interval is None else element("span", {"class": "s-card-span"}, interval),
        element("span", {"class": "s-card-said"}, meaning),
    )


def _needed(scores: MetricScores) -> tuple[str, int, int] | None:
    """Of the finest parts that were dropped: what they are, without how many F surely falls, and how many they are."""
    for kind in DropKind:
        highs = [item.change.high for item in scores.dropped if item.kind is kind and item.change.high is not None]
        if highs:
            return kind.value, sum(high < 0 for high in highs), len(highs)
    return None


def _whole(found: Evaluation, scores: MetricScores) -> Markup:
    empty = "the other run" if found.empty_is_other else "source everywhere"
    runs = [
        (f"whole model (the {found.base} run)", scores.base),
        ("circuit alone", scores.circuit),
        ("circuit knocked out", scores.rest),
        (f"empty circuit ({empty})", scores.empty),
    ]
    known = scores.no_share is None
    bars = []
    for name, run in runs:
        share = run.faithfulness if known else Share(None)
        fixed = run is scores.base or run is scores.empty
        low, high = (None, None) if fixed else (share.low, share.high)
        bars.append(Bar(name, share.value, low, high, (figure(run.metric),), exact=fixed))
    return bar_table(bars, ("run", "share of the gap, 95 % interval", scores.metric), shares=True, signed=False,
                     marks=(0.0, 1.0))  # fmt: skip


def _dropped(found: Evaluation, kind: DropKind, items: list[Dropped]) -> Markup:
    counted = kind is not DropKind.EDGE and found.of == Of.EDGES
    bars = [
        Bar(
            named(item.name),
            item.change.value,
            item.change.low,
            item.change.high,
            (percent(item.faithfulness.value), *((figure(item.count, 0),) if counted else ())),
        )
        for item in items
    ]
    head = (f"{kind} dropped", "change of faithfulness, 95 % interval", "what is left", *(["edges"] if counted else []))
    return bar_table(
        bars, head, shares=True, first=FIRST, noun=f"more {kind}s" if len(items) > FIRST + 1 else f"more {kind}"
    )


def _definitions(found: Evaluation) -> Iterator[Markup]:
    rule = "an edge outside the circuit carries its sender’s" if found.of == Of.EDGES else "a node outside has its"
    for name, said in (
        ("A run", f"In each, {rule} value of the source; all else is current. {found.runs:,} passes over all pairs."),
        ("Faithfulness", "F(C) = (m(C) − m(∅)) / (m(whole) − m(∅)), means over pairs; 100 %: the circuit is enough."),
        ("Completeness", "F of the rest, the circuit knocked out; 0 %: nothing is left outside the circuit."),
        ("Change", "F(C without it) − F(C), one drop at a time; near 0: not needed, or something stands in for it."),
        ("CPR, CMD", "∫ F dk and ∫ |1 − F| dk over the share k of parts kept, trapezoid rule (MIB benchmark)."),
    ):
        yield element("div", None, element("dt", None, name), element("dd", None, said))


def _apart(own: Mapping[str, Any], run: Mapping[str, Any]) -> Markup:
    """When it was made, and what was not as in the run."""
    said = f"Evaluated {own.get('created')}, of this run’s spec, model and prompts (equal hashes)"
    differs = [f"{word} {own.get(key)}, the run’s {run.get(key)}" for key, word in WHERE.items()
               if own.get(key) != run.get(key)]  # fmt: skip
    ours, theirs = own.get("versions", {}), run.get("versions", {})
    differs += [f"{package} {version}, the run’s {theirs.get(package)}" for package, version in ours.items()
                if theirs.get(package) != version]  # fmt: skip
    return paragraph(said + (f"; but {'; '.join(differs)}." if differs else "."))


def _warnings(warnings: tuple[str, ...]) -> Markup | None:
    if not warnings:
        return None
    return element("ul", {"class": "s-warnings"}, *(element("li", None, warning) for warning in warnings))
