"""Evaluation -> the report that `evaluate` prints. Plain text, no colour needed to read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuitgraph.results.evaluated import (
    Curve,
    CurveKind,
    DropKind,
    Dropped,
    Evaluation,
    MetricScores,
    RandomCircuits,
    Share,
)
from circuitgraph.spec.model import Of
from circuitgraph.stats import Verdict

MOST_POINTS = 12
"""Points of a curve that are printed; all are in the JSON."""


def report(found: Evaluation, top: int) -> str:
    """The primary metric in full; `top` limits the rows of each list."""
    scores = found.primary
    blocks = [_whole(found, scores), _expected(found)]
    blocks += [_dropped(found, scores, kind, top) for kind in DropKind]
    if scores.random is not None:
        blocks.append(_random(found, scores.random, scores.faithfulness))
    if scores.curve is not None:
        blocks.append(_curve(found, scores.curve))
    if len(found.metrics) > 1:
        names = ", ".join(other.metric for other in found.metrics[1:])
        blocks.append([f"also measured: {names} (see --json)"])
    blocks.append(_definitions(found))
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _whole(found: Evaluation, scores: MetricScores) -> list[str]:
    nouns = _nouns(found)
    kept = f"; kept in every run: {', '.join(found.kept)}" if found.kept else ""
    everywhere = "what is kept alone" if found.kept else "source everywhere"
    empty = "the other run" if found.empty_is_other else everywhere
    rows = [
        ("run", scores.metric, "share", "95 % interval", ""),
        (f"whole model (the {found.base} run)", _value(scores.base.metric), "100.0 %", "", ""),
        ("circuit alone", _value(scores.circuit.metric), *_shares(scores.faithfulness), "faithfulness"),
        ("circuit knocked out", _value(scores.rest.metric), *_shares(scores.completeness), "completeness"),
        (f"empty circuit ({empty})", _value(scores.empty.metric), "0.0 %", "", ""),
    ]
    if scores.no_share is not None:
        rows = [(name, value, *("–" if cell.endswith("%") else cell for cell in cells)) for name, value, *cells in rows]
    lines = [
        f"{found.name}: {len(found.parts)} of the model's {found.model_parts} {nouns}{kept}",
        f"{found.pairs} pairs; base: {found.base}; what is outside the circuit carries: {found.source}",
        "",
        *_table(rows),
    ]
    return [*lines, f"no shares: {scores.no_share}"] if scores.no_share else lines


def _expected(found: Evaluation) -> list[str]:
    lines = []
    for item in found.expected:
        needed = "" if item.verdict is not Verdict.UNDECIDED else ", more pairs would not tell"
        if item.pairs_needed is not None:
            needed = f", about {item.pairs_needed:,} pairs would decide"
        lines.append(f"expected: {item.what} {item.region}: {item.verdict}{needed}")
    return lines


def _dropped(found: Evaluation, scores: MetricScores, kind: DropKind, top: int) -> list[str]:
    """One list of what was dropped, largest change first."""
    items = [item for item in scores.dropped if item.kind is kind]
    if not items:
        return []
    counted = kind is not DropKind.EDGE and found.of == Of.EDGES
    head = (f"{kind} dropped", "edges" if counted else "", "faithfulness", "change", "95 % interval", "")
    rows = [head, *(_drop_row(item, counted) for item in items[:top])]
    more = [f"… {len(items) - top} more (--top, --json)"] if len(items) > top else []
    return [*_table(rows), *more]


def _drop_row(item: Dropped, counted: bool) -> tuple[str, ...]:
    change, span = _shares(item.change, sign=True)
    low, high = item.change.low, item.change.high
    doubt = "contains 0" if low is not None and high is not None and low <= 0 <= high else ""
    return (item.name, str(item.count) if counted else "", _shares(item.faithfulness)[0], change, span, doubt)


def _random(found: Evaluation, random: RandomCircuits, own: Share) -> list[str]:
    nouns, fixed = _nouns(found), random.without_alternative
    alone = [f"no alternative in the model: {'; '.join(fixed)}"] if fixed else []
    if not random.faithfulness:
        return ["random circuits: none were drawn", *alone]
    if random.below is None or own.value is None:
        return [f"random circuits: {len(random.faithfulness)} were run; there are no shares to compare", *alone]
    return [
        f"random circuits: {len(random.faithfulness)} with as many {nouns} of the same kinds and positions, "
        f"seed {random.seed}",
        f"  faithfulness: median {_percent(random.median)}, lowest {_percent(random.lowest)}, "
        f"highest {_percent(random.highest)}; {100 * random.below:.0f} % of them are below "
        f"the hypothesis' {_percent(own.value)}",
        *(f"  {line}" for line in alone),
    ]


def _curve(found: Evaluation, curve: Curve) -> list[str]:
    every = curve.kind is CurveKind.ALL
    ranked = "every one of the model, ranked by its own effect" if every else "the hypothesis', ranked as above"
    points = _some(curve.points)
    rows = [
        (f"{_nouns(found)} kept", *(str(point.kept) for point in points)),
        ("share of the model's", *(f"{100 * point.share:.1f} %" for point in points)),
        ("faithfulness", *(_percent(point.faithfulness.value) for point in points)),
    ]
    left_out = len(curve.points) - len(points)
    some = f"; {left_out} points between these in --json" if left_out else ""
    lines = [f"curve: {_nouns(found)} kept, largest first: {ranked}{some}", *_table(rows)]
    if curve.cpr is not None and curve.cmd is not None:
        lines.append(f"CPR {curve.cpr:.4f}, CMD {curve.cmd:.4f} over {len(curve.points)} measured points")
    if not every and len(curve.points) > 1:
        before, last = curve.points[-2:]
        if last.kept - before.kept > 1:
            lines.append(f"between {before.kept} and {last.kept} {_nouns(found)} nothing was measured: a straight line")
    return lines


def _some(points: Sequence) -> list:
    """At most MOST_POINTS of them, evenly spread, first and last among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    last = len(points) - 1
    return [points[i] for i in dict.fromkeys(round(n * last / (MOST_POINTS - 1)) for n in range(MOST_POINTS))]


def _definitions(found: Evaluation) -> list[str]:
    nouns = _nouns(found)
    rule = "an edge outside the circuit carries its sender's" if found.of == Of.EDGES else "a node outside has its"
    lines = [
        f"In each run, {rule} value of the source; all else is current.",
        "faithfulness   F(C) = (m(C) − m(∅)) / (m(whole) − m(∅)), means over pairs; 100 % = the circuit is enough",
        "completeness   F of the rest, the circuit knocked out; 0 % = nothing is left outside the circuit",
        "change         F(C without it) − F(C), one drop at a time; near 0: not needed, or something stands in for it",
    ]
    if found.primary.curve is not None:
        lines.append(
            f"CPR, CMD       ∫ F dk and ∫ |1 − F| dk over the share k of {nouns} kept, trapezoid rule (MIB benchmark)"
        )
    return lines


def _nouns(found: Evaluation) -> str:
    return found.of


def _shares(share: Share, *, sign: bool = False) -> tuple[str, str]:
    """The value and its interval."""
    span = "–"
    if share.low is not None and share.high is not None:
        span = f"[{_percent(share.low, sign=sign, unit='')}, {_percent(share.high, sign=sign, unit='')}]"
    return _percent(share.value, sign=sign), span


def _percent(value: float | None, *, sign: bool = False, unit: str = " %") -> str:
    if value is None:
        return "–"
    rounded = round(100 * value, 1) + 0.0  # + 0.0: no "-0.0"
    return f"{rounded:+.1f}{unit}" if sign and rounded else f"{rounded:.1f}{unit}"


def _value(value: float) -> str:
    return f"{value:#.4g}".rstrip(".")


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns of numbers to the right; the first, and remarks (no header), to the left; empty columns left out."""
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    padded = [_padded(column, left=not i or not column[0]) for i, column in enumerate(columns)]
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


def _padded(column: Sequence[str], *, left: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.ljust(width) if left else cell.rjust(width) for cell in column]
