"""What heads attend to: a row for each head and position that attends, a shaded cell for each attended to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitgraph.plotting.labels import cut
from circuitgraph.reporting.sections.figures import figure, shown
from circuitgraph.reporting.sections.markup import Markup, element, joined
from circuitgraph.reporting.sections.pieces import LONGEST, boxed, folded, named, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.attention import AttentionRow, AttentionTable
from circuitgraph.results.records import RunResult

FIRST = 40
"""Rows that are shown at once."""


def attention_section(result: RunResult, prefix: str) -> Section | None:
    """None of a run whose spec does not ask for it."""
    table = result.attention
    if table is None or not table.rows:
        return None
    width = len(table.to_positions) + 1
    lines = [table.rows[start : start + width] for start in range(0, len(table.rows), width)]
    name = "Attention weights of heads, from a position to others"
    html = joined(paragraph(*_said(table)), boxed(_grid(table, lines[:FIRST]), label=name))
    if rest := lines[FIRST:]:
        html = joined(html, folded(f"{len(rest):,} more rows", boxed(_grid(table, rest), label=name)))
    return Section(f"{prefix}attention", "Attention", html)


def _said(table: AttentionTable) -> Iterator[str]:
    yield f"Mean attention weights in {table.n} {table.run} prompts: shares of the 1 that a head has at each token. "
    yield "The darker, the more. “else”: all other tokens together; positions that are one token count once."
    if any(not row.visible for row in table.rows):
        yield " ·: a later token, which this model cannot attend to."
    errors = [row.std_error for row in table.rows if row.std_error is not None]
    if errors:
        yield f" Standard errors are at most {shown(max(errors))}."


def _grid(table: AttentionTable, lines: Sequence[Sequence[AttentionRow]]) -> Markup:
    grouped = any(row.group is not None for row in table.rows)
    heads = [*(["group"] if grouped else []), "head", "from", *table.to_positions, "else"]
    head = element("tr", None, *(element("th", {"scope": "col"}, named(name)) for name in heads))
    body = []
    last: tuple[str | None, str] | None = None
    for line in lines:
        first = line[0]
        new = last != (first.group, first.head)
        last = (first.group, first.head)
        group = [element("td", {"class": "s-name"}, named(first.group or ""))] if grouped else []
        names = [*group, element("th", {"scope": "row"}, first.head), element("td", None, first.from_position)]
        body.append(element("tr", {"class": "s-first"} if new else None, *names, *map(_cell, line)))
    return element("table", {"class": "s-map s-attention"}, element("thead", None, head), element("tbody", None, *body))


def _cell(row: AttentionRow) -> Markup:
    if not row.visible:
        return element("td", {"class": "s-none", "title": "a later token: it cannot be attended to"}, "·")
    to = "all other tokens" if row.to_position is None else row.to_position
    interval = "" if row.ci_low is None or row.ci_high is None else f" [{row.ci_low:.3f}, {row.ci_high:.3f}]"
    level = min(round(10 * row.weight), 10)
    title = f"{row.head}, {row.from_position} → {to}: {row.weight:.4f}{interval}"
    return element("td", {"class": f"s-w{level}", "title": cut(title, 2 * LONGEST)}, figure(row.weight, 2))
