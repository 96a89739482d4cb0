"""What stands above the graph, as HTML: name, description, what was measured, warnings. Every text is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from circuitgraph.drawing.style import number
from circuitgraph.reporting.experiments import metric_phrases
from circuitgraph.results.records import RunResult

if TYPE_CHECKING:
    from circuitgraph.comparing.records import Comparison, Differs

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
    """What was measured, on what, and how far the two prompts are apart."""
    found: list[tuple[str, str]] = []
    for result, name in zip(runs, names, strict=True):
        whose = f", {isolated(name)}" if len(runs) > 1 else ""
        if model := result.provenance.get("settings", {}).get("model", {}).get("name"):
            found.append((f"model{whose}", isolated(str(model))))
        found += [(f"{title}{whose}", value) for title, value in _of_metrics(result)]
        found += [(f"{title}{whose}", value) for title, value in _of_experiments(result)]
    for (i, j), comparison in comparisons.items():
        title = f"{isolated(names[i])} and {isolated(names[j])}"
        found.append((title, _alike(comparison)))
        if len(comparisons) == 1 and comparison.differing:
            found.append(("they differ in", "; ".join(map(_differs, comparison.differing[:DIFFERING]))))
    return '<dl class="facts">' + "".join(f"<div><dt>{t}</dt><dd>{v}</dd></div>" for t, v in found) + "</dl>"


def _of_metrics(result: RunResult) -> list[tuple[str, str]]:
    """Per metric and base: its value on both prompts, and the gap between them."""
    found: list[tuple[str, str]] = []
    phrases = dict(zip(result.metrics, metric_phrases(result), strict=False))
    seen: dict[tuple[str, str, float, float | None], int] = {}
    for row in result.rows:
        seen.setdefault((row.metric, row.base, row.metric_base, row.metric_other), row.n)
    for (metric, base, value, other), n in seen.items():
        parts = [f"{base} <b>{number(value)}</b>"]
        if other is not None:
            across = "corrupted" if base == "clean" else "clean"
            parts += [f"{across} <b>{number(other)}</b>", f"gap <b>{number(other - value)}</b>"]
        title = f"{isolated(phrases.get(metric, metric))}, n = {n:,}"
        if len(found) < 8:
            found.append((title, " · ".join(parts)))
    return found


def _of_experiments(result: RunResult) -> list[tuple[str, str]]:
    if not result.rows:
        return []
    rows = result.primary
    kinds = Counter(row.kind for row in rows)
    plural = ", ".join(
        f"{many:,} {kind}{'' if many == 1 or kind.endswith('s') else 's'}" for kind, many in kinds.items()
    )
    sure = sum(row.significant for row in rows)
    found = [("measured", f"<b>{escape(plural)}</b>, {sure:,} with an interval without 0")]
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
        parts.append(f"{flips:,} of opposite sign")
    return " · ".join([*parts, "paired" if comparison.paired else "not paired" if comparison.paired is False else ""])


def _differs(item: Differs) -> str:
    values = " → ".join(isolated("–" if value is None else value[:DIFFERENCE]) for value in (item.a, item.b))
    return f"{isolated(item.name)}: {values}"


def warnings(runs: Sequence[RunResult], comparisons: Mapping[tuple[int, int], Comparison]) -> str:
    """The warnings of the runs and of their comparisons, each once."""
    texts = [text for result in runs for text in result.warnings]
    texts += [text for comparison in comparisons.values() for text in comparison.warnings]
    items = "".join(f"<li>{isolated(text)}</li>" for text in dict.fromkeys(texts))
    return f'<ul class="warnings" aria-label="Warnings">{items}</ul>' if items else ""
