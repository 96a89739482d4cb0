"""Comparison -> the text that `compare` prints: what differs, the table, how alike the whole is. No colour needed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from circuitgraph.comparing.records import Alone, By, Comparison, Comparisons, Correlation, Differs, Matched, Quantity
from circuitgraph.graph.usual import SETTINGS, unusual_settings, usual_settings
from circuitgraph.spec.model import EstimateMethod
from circuitgraph.tables import aligned

AT = (1, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""The k at which the overlap is printed."""
LISTED = 8
"""Experiments of only one run, and flips, that are printed."""
RESAMPLED = "in brackets: 2.5 to 97.5 % of what resampled prompts give"
MEASURED_BY = {
    "bootstrap-t": "of differences within prompt pairs (studentised bootstrap)",
    "bootstrap-t-cut": "of differences within prompt pairs (studentised bootstrap)",
    "cluster-t": "of differences within prompt pairs, cluster-robust",
    "t": "of differences within prompt pairs (Student's t)",
    "welch-t": "Welch's t, the prompts of the runs being different ones",
}


def report(found: Comparison, top: int) -> str:
    """The whole text; `top` lines of the table."""
    parts = [_what(found), _table(found, top), _agreement(found), _flips(found)]
    named = _Namer(found)
    parts += [
        _alone(label, each, named) for label, each in zip(found.labels, (found.only_a, found.only_b), strict=True)
    ]
    return "\n\n".join(part for part in parts if part)


def matrix_report(found: Comparisons, top: int) -> str:
    """The matrix of rank correlations, and every run against the first."""
    named = [f"{letter} {label}" for letter, label in zip(letters(len(found.labels)), found.labels, strict=True)]
    head = ("Spearman", *letters(len(named)))
    matched = sorted({pair.agreement.n for pair in found.pairs.values()})
    lines: list[tuple[str, ...]] = [head]
    for i, name in enumerate(named):
        lines.append((one_line(name), *(_cell(found, i, j, several=len(matched) > 1) for j in range(len(named)))))
    over = f"{matched[0]:,}" if len(matched) == 1 else f"{matched[0]:,} to {matched[-1]:,}"
    intro = f"{found.metric}: rank correlation of effects over {over} matched experiments; {RESAMPLED}"
    parts = ["\n".join([intro, "", *aligned(lines, right=range(1, len(head)))])]
    parts += [f"{'—' * 30}\n\n{report(each, top)}" for each in found.first]
    return "\n\n".join(parts)


def _cell(found: Comparisons, i: int, j: int, *, several: bool) -> str:
    """A cell of the matrix, with the number of matched experiments where that is not the same for all."""
    if i == j:
        return "1"
    over = f" of {found.pairs[min(i, j), max(i, j)].agreement.n:,}" if several else ""
    return f"{_correlation(found.spearman(i, j))}{over}"


def letters(count: int) -> list[str]:
    """A, B, C …"""
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(count)]


def one_line(text: str) -> str:
    """Text that cannot break a line or move a cursor."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _what(found: Comparison) -> str:
    a, b = map(one_line, found.labels)
    lines = [
        f"A: {a}{_origin(found.a.directory, found.labels[0])}",
        f"B: {b}{_origin(found.b.directory, found.labels[1])}",
    ]
    if found.differing:
        lines += ["", *_differing(found.differing)]
    else:
        lines.append("no setting differs")
    lines += ["", _matched(found), _difference(found)]
    methods = [row.executor for run in (found.a, found.b) for row in run.rows[:1]]
    for letter, method in zip("AB", methods, strict=False):
        if method in list(EstimateMethod):
            lines.append(f"{letter} is ESTIMATED by {method} from gradients, not measured")
    return "\n".join(lines)


def _origin(directory: str | None, label: str) -> str:
    return "" if directory is None or one_line(directory) == one_line(label) else f" ({one_line(directory)})"


def _differing(items: Sequence[Differs]) -> list[str]:
    cells = [("differs", "A", "B")]
    cells += [
        (item.name, *("not set" if each is None else one_line(each) for each in (item.a, item.b))) for item in items
    ]
    return aligned(cells, right=())


def _matched(found: Comparison) -> str:
    count = f"{len(found.rows):,} experiment{'' if len(found.rows) == 1 else 's'}"
    if found.by is By.GROUP:
        count = f"{len(found.rows):,} pair{'' if len(found.rows) == 1 else 's'} of groups"
    alone = f"; {len(found.only_a):,} only in A, {len(found.only_b):,} only in B"
    across = f", across {' and '.join(found.across)}" if found.across else ""
    return f"{count} matched by {found.by}{across}{alone if found.only_a or found.only_b else ''}"


def _difference(found: Comparison) -> str:
    of = "effect" if found.quantity is Quantity.EFFECT else "normalized effect = mean effect / mean gap"
    mean = " (mean per experiment)" if found.by is By.GROUP else ""
    pairs = {(row.n_a, row.n_b) for row in found.rows}
    counted = ", ".join(f"{a}" if a == b else f"{a} and {b}" for a, b in sorted(pairs))
    counted += " pair" if pairs == {(1, 1)} else " pairs"
    how = {True: "paired", False: "unpaired", None: "paired where the prompts are the same"}[found.paired]
    ways = dict.fromkeys(MEASURED_BY[row.interval] for row in found.rows if row.interval in MEASURED_BY)
    said = f": {'; '.join(ways)}" if ways else ""
    return f"{one_line(found.metric)}: difference = B − A of the {of}{mean}; {how}, {counted}{said}"


def _table(found: Comparison, top: int) -> str:
    ranked, named = found.ranked(), _Namer(found)
    largest = max(max(abs(row.difference), abs(row.a), abs(row.b)) for row in ranked)
    decimals = 4 if largest == 0 else min(max(4 - math.floor(math.log10(largest)), 0), 15)
    grouped = found.by is By.GROUP
    head = ("experiment", *(("n A", "n B") if grouped else ()), "A", "B", "B − A", "95 % interval", "q", "")
    lines: list[tuple[str, ...]] = [head]
    for row in ranked[:top]:
        counts = (str(row.experiments_a), str(row.experiments_b)) if grouped else ()
        lines.append((named(row), *counts, *_cells(row, decimals)))
    shown = aligned(lines, right=range(1, len(head) - 1))
    if len(ranked) > top:
        shown.append(f"… {len(ranked) - top:,} more")
    if any(row.q_value is not None for row in ranked):
        test = (
            "sign flips of differences" if found.paired else "Welch's t" if found.paired is False else "each its test"
        )
        shown.append(f"q = p-value ({test}) after Benjamini–Hochberg over the matched experiments")
        if any(row.q_value is not None and row.q_value < 0.05 and not row.significant for row in ranked):
            shown.append("where q is small and the interval contains 0, differences are skewed: trust the interval")
    shown += [f"{name}: {value}, where nothing else is said" for name, value in named.usual.items()]
    return "\n".join(shown)


class _Namer:
    """What experiments are called in the text: label, arrow where that is another, and settings that are not usual."""

    def __init__(self, found: Comparison) -> None:
        self.usual = usual_settings(map(_settings, (*found.rows, *found.only_a, *found.only_b)))

    def __call__(self, each: Matched | Alone) -> str:
        arrow = _TOLD.sub("", each.key.partition(" ")[2])
        name = each.label if each.label == arrow or arrow.startswith(each.label) else f"{each.label}: {arrow}"
        unusual = [*unusual_settings(_settings(each), self.usual).values()]
        unusual += [f"receivers: {how}" for how in _RECEIVERS.findall(each.key)]
        return one_line(f"{name} ({', '.join(unusual)})" if unusual else name)


_TOLD = re.compile(r" \((?:path|base|source|receivers): .*\)")
"""How it is measured, as a key tells it."""
_RECEIVERS = re.compile(r"[(,] ?receivers: (\w+)[,)]")


def _settings(each: Matched | Alone) -> dict[str, str]:
    return {name: value for name in SETTINGS if (value := getattr(each, name)) is not None}


def _cells(row: Matched, decimals: int) -> tuple[str, ...]:
    remarks = ["contains 0"] if row.ci_low is not None and not row.significant else []
    if row.significant and all(abs(x or 0.0) < 0.5 * 10**-decimals for x in (row.ci_low, row.ci_high)):
        remarks.append("rounds to 0")
    if row.clearly_flipped:
        remarks.append("sign flips")
    return (
        *(_signed(value, decimals) for value in (row.a, row.b, row.difference)),
        "–" if row.ci_low is None else f"[{_signed(row.ci_low, decimals)}, {_signed(row.ci_high or 0.0, decimals)}]",
        "–" if row.q_value is None else "<0.0001" if row.q_value < 0.00005 else f"{row.q_value:.4f}",
        ", ".join(remarks),
    )


def _signed(value: float, decimals: int) -> str:
    """What is rounded to nothing has no minus."""
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"


def _agreement(found: Comparison) -> str:
    whole = found.agreement
    cells: list[tuple[str, ...]] = [("over matched experiments", "of effects", "of their sizes")]
    cells += [
        ("Spearman", _correlation(whole.spearman), _correlation(whole.spearman_size)),
        ("Kendall", _correlation(whole.kendall), _correlation(whole.kendall_size)),
        ("Pearson", _correlation(whole.pearson), ""),
    ]
    halves = (whole.halves_a, whole.halves_size_a), (whole.halves_b, whole.halves_size_b)
    for letter, values in zip("AB", halves, strict=True):
        if any(value is not None for value in values):
            shown = ("–" if value is None else f"{value:+.2f}" for value in map(whole.repeat, values))
            cells.append((f"Spearman, {letter} with a repeat of it on other prompts", *shown))
    lines = aligned(cells, right=())
    if whole.resamples:
        lines.append(RESAMPLED[:1].upper() + RESAMPLED[1:] + "; a repeat is judged by halves of the prompts")
    at = [k for k in AT if k < whole.n]
    if at:
        shares = ", ".join(f"{whole.overlap[k - 1]:.0%} at {k} ({whole.chance(k):.0%})" for k in at)
        lines.append(f"of the k largest by size, both have (by chance): {shares}".replace("%", " %"))
    opposite = sum(row.flipped for row in found.rows)
    lines.append(f"opposite signs: {opposite:,} of {whole.n:,}; with neither interval on 0: {len(found.flips()):,}")
    return "\n".join(lines)


def _correlation(found: Correlation) -> str:
    if found.value is None:
        return "–"
    if found.low is None:
        return f"{found.value:+.2f}"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _flips(found: Comparison) -> str:
    flips = found.flips()
    if not flips:
        return ""
    lines, named = [("sign flips", "A", "B")], _Namer(found)
    lines += [(named(row), f"{row.a:+.4g}", f"{row.b:+.4g}") for row in flips[:LISTED]]
    return "\n".join([*aligned(lines, right=(1, 2)), *_more(len(flips))])


def _alone(label: str, items: Sequence[Alone], named: _Namer) -> str:
    if not items:
        return ""
    ranked = sorted(items, key=lambda item: -abs(item.effect))
    lines = [(f"only in {one_line(label)}", "effect", "95 % interval", "")]
    lines += [(named(item), f"{item.effect:+.4g}", _between(item), item.why or "") for item in ranked[:LISTED]]
    return "\n".join([*aligned(lines, right=(1, 2)), *_more(len(ranked))])


def _between(item: Alone) -> str:
    return "–" if item.ci_low is None else f"[{item.ci_low:+.4g}, {item.ci_high:+.4g}]"


def _more(count: int) -> list[str]:
    return [f"… {count - LISTED:,} more"] if count > LISTED else []
