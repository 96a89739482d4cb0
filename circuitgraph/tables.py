"""What was measured -> the tables that commands print. Plain text, no colour needed to read it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from circuitgraph.graph.claims import CircuitGraph, claim_arrow
from circuitgraph.graph.usual import SETTINGS, unusual_settings, usual_settings
from circuitgraph.results.attention import AttentionRow, AttentionTable
from circuitgraph.results.attribution import AttributionRow, AttributionTable, Total
from circuitgraph.results.records import Row, RunResult
from circuitgraph.spec.model import EstimateMethod

HEADER = ("experiment", "effect", "95 % interval", "normalized", "q", "percentile", "")
OPTIONAL = {"q": "q_value", "percentile": "percentile"}
"""Columns that are shown where some row has the value."""


class Ranked(NamedTuple):
    """The largest effects of a run: what is said above the table, its header and lines, and what is said below."""

    facts: tuple[str, ...]
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    below: tuple[str, ...]


def ranked_table(result: RunResult, top: int) -> str:
    """The largest effects of the primary metric, one line each, and what they are measured against."""
    if not result.primary:
        return "nothing was measured"
    table = ranked(result, top)
    lines = aligned([table.header, *table.lines], right=range(1, len(table.header) - 1))
    return "\n".join([*table.facts, "", *lines, *table.below])


def ranked(result: RunResult, top: int) -> Ranked:
    """The same as cells. Of a run that measured something."""
    ranked = result.ranked()
    decimals = _decimals(ranked[0].effect)
    usual = usual_settings(map(_settings, result.primary))
    shared = shared_labels(ranked)
    rows = [_cells(row, name_of(row, result.graph, shared), decimals, usual) for row in ranked[:top]]
    idle = {name for name, field in OPTIONAL.items() if all(getattr(row, field) is None for row in ranked)}
    shown = [i for i, name in enumerate(HEADER) if name not in idle]
    header, *lines = (tuple(cells[i] for i in shown) for cells in (HEADER, *rows))
    below = [f"… {len(ranked) - top:,} more"] if len(ranked) > top else []
    if len(result.metrics) > 1:
        below.append(f"also measured: {', '.join(result.metrics[1:])} (see edges.parquet)")
    settings = [f"{name}: {value}, where nothing else is said" for name, value in usual.items()]
    notes = [line for name, line in _NOTES.items() if name not in idle]
    return Ranked((*_facts(ranked), *notes, *settings), header, tuple(lines), tuple(below))


_NOTES = {
    "q": "q = p-value of sign flips over pairs (or clusters), after Benjamini–Hochberg over these experiments",
    "percentile": "percentile = among random edges of the same kind, by |effect|",
}


def _facts(rows: Sequence[Row]) -> list[str]:
    """What the effects are differences of: one line per base, and the definition."""
    lines = []
    for _, row in sorted({row.base: row for row in rows}.items()):
        line = f"{row.metric}: {row.metric_base:.4g} in the {row.base} run, {row.n} pairs"
        if row.metric_other is not None:
            line += f"; {row.metric_other:.4g} in the other run (gap {row.metric_other - row.metric_base:+.4g})"
        lines.append(line)
    meaning = "effect = metric(patched) − metric(base); normalized = mean effect / mean gap"
    if methods := sorted({row.executor for row in rows} & set(EstimateMethod)):
        meaning = f"effect: ESTIMATED by {', '.join(methods)} from gradients, not measured; normalized = / mean gap"
    return [*lines, meaning]


def _settings(row: Row) -> dict[str, str]:
    return {name: value for name in SETTINGS if (value := getattr(row, name)) is not None}


def shared_labels(rows: Sequence[Row]) -> set[str]:
    """The labels that several experiments have."""
    return {label for label, count in Counter(row.label for row in rows).items() if count > 1}


def name_of(row: Row, graph: CircuitGraph, shared: Container[str]) -> str:
    """What an experiment is called: its label, with its arrow where others have that label too."""
    claim = graph.by_id[row.id]
    return f"{row.label}: {claim_arrow(claim)}" if claim.label and row.label in shared else row.label


def _cells(row: Row, name: str, decimals: int, usual: Mapping[str, str]) -> tuple[str, ...]:
    low, high = row.ci_low, row.ci_high
    unusual = ", ".join(unusual_settings(_settings(row), usual).values())
    interval = "–" if low is None or high is None else f"[{low:+.{decimals}f}, {high:+.{decimals}f}]"
    share = "–" if row.normalized_effect is None else f"{100 * row.normalized_effect:+.1f} %"
    remarks = ["contains 0"] if low is not None and not row.significant else []
    if row.draw_std is not None:
        remarks.append(f"± {row.draw_std:.{decimals}f} between {row.draws} draws")
    if row.verdict is not None:
        remarks.append("as expected" if row.verdict == "supported" else f"{row.verdict}: expected {row.expected}")
    return (
        f"{name} ({unusual})" if unusual else name,
        f"{row.effect:+.{decimals}f}",
        interval,
        share,
        "–" if row.q_value is None else f"{row.q_value:.4f}",
        "–" if row.percentile is None else f"{row.percentile:.0f} of {row.percentile_of}",
        ", ".join(remarks),
    )


def _decimals(largest: float) -> int:
    """Decimals that give the largest effect five significant digits, and the others as many places."""
    return 4 if largest == 0 else min(max(4 - math.floor(math.log10(abs(largest))), 0), 15)


def weights_table(table: AttentionTable) -> str:
    """Mean attention weights: a line for each head and `from`, a column for each `to` and for the rest."""
    width = len(table.to_positions) + 1
    named = any(row.group is not None for row in table.rows)
    lines = [[*(["group"] if named else []), "head", "from", *table.to_positions, "else"]]
    for start in range(0, len(table.rows), width):
        cells = table.rows[start : start + width]
        group = [cells[0].group or ""] if named else []
        lines.append([*group, cells[0].head, cells[0].from_position, *map(_weight, cells)])
    numbers = range(len(lines[0]) - width, len(lines[0]))
    shown = aligned([tuple(line) for line in lines], numbers)
    return "\n".join([f"mean attention weights in {table.n} {table.run} prompts", "", *shown, "", *_remarks(table)])


def _weight(row: AttentionRow) -> str:
    return f"{row.weight:.2f}" if row.visible else "·"


def _remarks(table: AttentionTable) -> list[str]:
    errors = [row.std_error for row in table.rows if row.std_error is not None]
    remarks = ["else: all other tokens together; positions that are one token count once"]
    if any(not row.visible for row in table.rows):
        remarks.append("·: a later token, which this model cannot attend to; the weight is 0")
    if errors:
        remarks.append(f"standard errors: at most {max(errors):.2g}; each, with its interval, by --json")
    return remarks


def attribution_tables(table: AttributionTable, top: int) -> str:
    """What components write towards each metric, at each position: the largest first, and what they add up to."""
    return "\n\n".join(_attribution(table, total, top) for total in table.totals)


def _attribution(table: AttributionTable, total: Total, top: int) -> str:
    rows = [row for row in table.rows if (row.metric, row.at) == (total.metric, total.at)]
    ranked = sorted(rows, key=lambda row: -abs(row.value))
    decimals = _decimals(ranked[0].value)
    lines = [("component", "writes", "95 % interval", "share", "")]
    lines += [_attributed(row, decimals) for row in ranked[:top]]
    if rest := ranked[top:]:
        left = sum(row.value for row in rest)
        lines.append((f"{len(rest):,} more", f"{left:+.{decimals}f}", "", _share(left, total.value, rest), ""))
    lines.append(("together", f"{total.value:+.{decimals}f}", "", "", ""))
    said = {"difference": "difference clean − corrupted"}.get(table.of, f"{table.of} run")
    return "\n".join(
        [
            f"{total.metric} at {total.at}, {said}, {table.n} prompts: {total.value:.4g} = the sum of all rows "
            f"(to {total.residue:.0e})",
            "writes = what reaches the metric through the final norm as it was in the run; no effect of anything",
            "",
            *aligned(lines, right=range(1, 4)),
        ]
    )


def _attributed(row: AttributionRow, decimals: int) -> tuple[str, ...]:
    low, high = row.ci_low, row.ci_high
    interval, remark = "–", ""
    if low is not None and high is not None:
        interval = f"[{low:+.{decimals}f}, {high:+.{decimals}f}]"
        remark = "contains 0" if low <= 0 <= high else ""
    share = "–" if row.share is None else f"{100 * row.share:+.1f} %"
    return row.label, f"{row.value:+.{decimals}f}", interval, share, remark


def _share(value: float, total: float, rows: Sequence[AttributionRow]) -> str:
    return "–" if any(row.share is None for row in rows) else f"{100 * value / total:+.1f} %"


def aligned(lines: Sequence[tuple[str, ...]], right: Container[int]) -> list[str]:
    """Cells as columns; those in `right` stand to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
