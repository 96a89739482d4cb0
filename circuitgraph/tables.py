"""RunResult -> the ranked table that `run` prints. Plain text, no colour needed to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from circuitgraph.results.records import Row, RunResult

HEADER = ("experiment", "effect", "95 % interval", "normalized", "")


def ranked_table(result: RunResult, top: int) -> str:
    """The largest effects of the primary metric, one line each, and what they are measured against."""
    ranked = result.ranked()
    if not ranked:
        return "nothing was measured"
    decimals = _decimals(ranked[0].effect)
    told = _told_apart_by(ranked)
    rows = [_cells(row, decimals, told) for row in ranked[:top]]
    widths = [max(len(line[i]) for line in (HEADER, *rows)) for i in range(len(HEADER))]
    lines = [_line(HEADER, widths), *(_line(row, widths) for row in rows)]
    if len(ranked) > top:
        lines.append(f"… {len(ranked) - top} more")
    return "\n".join([*_facts(ranked), "", *lines])


def _facts(rows: Sequence[Row]) -> list[str]:
    """What the effects are differences of: one line per base, and the definition."""
    lines = []
    for row in {row.base: row for row in reversed(rows)}.values():
        line = f"{row.metric}: {row.metric_base:.4g} in the {row.base} run, {row.n} pairs"
        if row.metric_other is not None:
            line += f"; {row.metric_other:.4g} in the other run (gap {row.metric_other - row.metric_base:+.4g})"
        lines.append(line)
    return [*lines, "effect = metric(patched) − metric(base); normalized = mean effect / mean gap"]


def _told_apart_by(rows: Sequence[Row]) -> tuple[str, ...]:
    """The settings in which the experiments of this run differ: they belong to the name of each."""
    return tuple(name for name in ("path", "base", "source") if len({getattr(row, name) for row in rows} - {None}) > 1)


def _cells(row: Row, decimals: int, told: Sequence[str]) -> tuple[str, ...]:
    low, high = row.ci_low, row.ci_high
    settings = ", ".join(str(getattr(row, name)) for name in told if getattr(row, name) is not None)
    interval = "–" if low is None or high is None else f"[{low:+.{decimals}f}, {high:+.{decimals}f}]"
    share = "–" if row.normalized_effect is None else f"{100 * row.normalized_effect:+.1f} %"
    doubt = "" if row.significant or low is None else "contains 0"
    label = f"{row.label} ({settings})" if settings else row.label
    return (label, f"{row.effect:+.{decimals}f}", interval, share, doubt)


def _decimals(largest: float) -> int:
    """Decimals that give the largest effect five significant digits, and the others as many places."""
    return 4 if largest == 0 else min(max(4 - math.floor(math.log10(abs(largest))), 0), 15)


def _line(cells: tuple[str, ...], widths: Sequence[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:4], widths[1:4], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *numbers, cells[4]]).rstrip()
