"""RunResult -> the ranked table that `run` prints. Plain text, no colour needed to read it."""

from __future__ import annotations

from circuitgraph.results.records import Row, RunResult


def ranked_table(result: RunResult, top: int) -> str:
    """The largest effects of the primary metric, one line each, and what they are measured against."""
    ranked = result.ranked()
    if not ranked:
        return "nothing was measured"
    rows = [_cells(row) for row in ranked[:top]]
    header = ("experiment", "effect", "95 % interval", "normalized", "")
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    lines = [_line(header, widths), *(_line(row, widths) for row in rows)]
    if len(ranked) > top:
        lines.append(f"… {len(ranked) - top} more")
    return "\n".join([*_facts(ranked[0]), "", *lines])


def _facts(row: Row) -> list[str]:
    lines = [f"{row.metric}: {row.metric_base:.4g} in the {row.base} run, {row.n} pairs"]
    if row.metric_other is not None:
        lines[0] += f"; {row.metric_other:.4g} in the other run (gap {row.metric_other - row.metric_base:+.4g})"
    lines.append("effect = metric(patched) − metric(base); normalized = mean effect / mean gap")
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    interval = "–" if row.ci_low is None or row.ci_high is None else f"[{row.ci_low:+.4f}, {row.ci_high:+.4f}]"
    share = "–" if row.normalized_effect is None else f"{100 * row.normalized_effect:+.1f} %"
    doubt = "" if row.significant or row.ci_low is None else "contains 0"
    return (row.label, f"{row.effect:+.4f}", interval, share, doubt)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    aligned = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:4], widths[1:4], strict=True)),
    ]
    return "  ".join([*aligned, cells[4]]).rstrip()
