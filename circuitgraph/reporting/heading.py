"""What stands above the graph, as HTML: name, description, what was measured, warnings. Every text is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from circuitgraph.drawing.style import number
from circuitgraph.reporting.experiments import metric_phrases
from circuitgraph.results.records import Row, RunResult
from circuitgraph.spec.model import EstimateMethod

if TYPE_CHECKING:
    from circuitgraph.comparing.records import Comparison, Differs

METRICS = 8
"""Metrics, each with its base, that the heading shows."""
PLAIN = ("measured", "expectations")
"""What goes without a title in a line."""
COMPARISONS = 3
"""Pairs of runs that the heading tells of, of many."""
WARNINGS = 3
"""Warnings of several runs that are shown before a click."""
DIFFERING = 6
DIFFERENCE = 60
"""Characters of a setting in which runs differ."""
LONGEST = 4000
"""Characters of a text of the user's that are shown in the heading."""


def isolated(text: str) -> str:
    """Text of a user, escaped; whatever its direction, it turns nothing around it."""
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"<bdi>{escape(shown)}</bdi>"


def description(runs: Sequence[RunResult]) -> str:
    """The descriptions of the specs, each once."""
    texts = dict.fromkeys(result.graph.description for result in runs if result.graph.description)
    return "".join(f'<p class="description" dir="auto">{isolated(text)}</p>' for text in texts)


def facts(runs: Sequence[RunResult], names: Sequence[str], comparisons: Mapping[tuple[int, int], Comparison]) -> str:
    """What was measured, on what, and how far the two prompts are apart; of several runs a line for each."""
    if len(runs) > 1:
        lines = [_line(result, name) for result, name in zip(runs, names, strict=True)]
        lines += [f"{title}: {value}" for title, value in _of_comparisons(names, comparisons)]
        return '<ul class="runs">' + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"
    (result,) = runs
    found: list[tuple[str, str]] = []
    if model := _model(result):
        found.append(("model", model))
    for row in _bases(result.rows)[:METRICS]:
        found.append((f"{_phrase(result, row)}, n = {row.n:,}", " · ".join(_values(row))))
    found += _of_experiments(result)
    return '<dl class="facts">' + "".join(f"<div><dt>{t}</dt><dd>{v}</dd></div>" for t, v in found) + "</dl>"


def _line(result: RunResult, name: str) -> str:
    """A run among several: its model, the first metric, and what was measured."""
    parts = [f"<b>{isolated(name)}</b>"]
    if model := _model(result):
        parts.append(model)
    if result.rows:
        rows = _bases(result.primary)
        parts.append(f"n = {rows[0].n:,}")
        parts += [f"{_phrase(result, row)}: {', '.join(_values(row))}" for row in rows[:METRICS]]
        if more := len(result.metrics) - 1:
            parts.append(f"{more} more {'metric' if more == 1 else 'metrics'}")
    return " · ".join(
        [*parts, *(value if title in PLAIN else f"{title}: {value}" for title, value in _of_experiments(result))]
    )


def _of_comparisons(names: Sequence[str], comparisons: Mapping[tuple[int, int], Comparison]) -> list[tuple[str, str]]:
    """How alike two runs are; of many runs the page has a table of that."""
    found = [
        (f"{isolated(names[i])} and {isolated(names[j])}", _alike(comparison))
        for (i, j), comparison in list(comparisons.items())[:COMPARISONS]
    ]
    if more := len(comparisons) - len(found):
        found.append(("and", f'<a href="#many">{more:,} more pairs</a>'))
    if len(comparisons) == 1 and (differing := next(iter(comparisons.values())).differing):
        found.append(("they differ in", "; ".join(map(_differs, differing[:DIFFERING]))))
    return found


def _model(result: RunResult) -> str | None:
    name = result.provenance.get("settings", {}).get("model", {}).get("name")
    return isolated(str(name)) if name else None


def _bases(rows: Sequence[Row]) -> list[Row]:
    """A row for each metric and base, which share both prompts' values: executors round these differently."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        known = found.setdefault((row.metric, row.base), row)
        if known.metric_other is None and row.metric_other is not None:
            found[row.metric, row.base] = row
    return list(found.values())


def _phrase(result: RunResult, row: Row) -> str:
    phrases = dict(zip(result.metrics, metric_phrases(result), strict=False))
    return isolated(phrases.get(row.metric, row.metric))


def _values(row: Row) -> list[str]:
    """The metric on both prompts, and the gap between them."""
    parts = [f"{row.base} <b>{number(row.metric_base)}</b>"]
    if row.metric_other is not None:
        across = "corrupted" if row.base == "clean" else "clean"
        gap = row.metric_other - row.metric_base
        parts += [f"{across} <b>{number(row.metric_other)}</b>", f"gap <b>{number(gap)}</b>"]
    return parts


def _of_experiments(result: RunResult) -> list[tuple[str, str]]:
    """What was measured, or estimated, and what came of expectations."""
    if not result.rows:
        return []
    rows = result.primary
    kinds = Counter(row.kind for row in rows)
    plural = ", ".join(
        f"{many:,} {kind}{'' if many == 1 or kind.endswith('s') else 's'}" for kind, many in kinds.items()
    )
    sure = sum(row.significant for row in rows)
    methods = sorted({row.executor for row in result.rows} & set(EstimateMethod))
    how = f"<strong>ESTIMATED by {', '.join(methods)} from gradients, not measured</strong>" if methods else "measured"
    found = [(how, f"<b>{escape(plural)}</b>, {sure:,} with an interval without 0")]
    verdicts = Counter(row.verdict for row in rows if row.verdict is not None)
    if verdicts:
        found.append(("expectations", ", ".join(f"<b>{many:,}</b> {escape(name)}" for name, many in verdicts.items())))
    return found


def _alike(comparison: Comparison) -> str:
    """How alike two runs are, in a line."""
    found, parts = comparison.agreement, [f"<b>{len(comparison.rows):,}</b> in both"]
    alone = len(comparison.only_a) + len(comparison.only_b)
    if alone:
        parts.append(f"{alone:,} in one alone")
    for name, value in (("Spearman", found.spearman), ("Kendall", found.kendall)):
        if value.value is not None:
            ends = "" if value.low is None or value.high is None else f" [{number(value.low)}, {number(value.high)}]"
            parts.append(f"{name} <b>{number(value.value)}</b>{ends}")
    if flips := len(comparison.flips()):
        parts.append(f"{flips:,} of opposite sign, with neither interval on 0")
    return " · ".join([*parts, "paired" if comparison.paired else "not paired" if comparison.paired is False else ""])


def _differs(item: Differs) -> str:
    values = " → ".join(isolated("–" if value is None else value[:DIFFERENCE]) for value in (item.a, item.b))
    return f"{isolated(item.name)}: {values}"


def warnings(runs: Sequence[RunResult], names: Sequence[str], comparisons: Mapping[tuple[int, int], Comparison]) -> str:
    """The warnings of the runs and of their comparisons, each once; of several runs, with their names."""
    whose: dict[str, dict[str, None]] = {}
    for result, name in zip(runs, names, strict=True):
        for text in result.warnings:
            whose.setdefault(text, {})[isolated(name)] = None
    for (i, j), comparison in comparisons.items():
        for text in comparison.warnings:
            whose.setdefault(text, {})[f"{isolated(names[i])} and {isolated(names[j])}"] = None
    said = {text: f"{', '.join(of)}: " if len(runs) > 1 else "" for text, of in whose.items()}
    items = [f"<li>{of}{isolated(text)}</li>" for text, of in said.items()]
    shown, rest = (items[:WARNINGS], items[WARNINGS:]) if len(runs) > 1 else (items, [])
    if rest:
        folded = f"<details><summary>{len(rest):,} more</summary><ul>{''.join(rest)}</ul></details>"
        shown.append(f"<li>{folded}</li>")
    return f'<ul class="warnings" aria-label="Warnings">{"".join(shown)}</ul>' if shown else ""
