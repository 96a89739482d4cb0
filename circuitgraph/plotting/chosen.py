"""What was measured -> the pictures of it, and which of them was asked for. No matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.plotting.bars import TOP, attribution_pictures, effect_bars
from circuitgraph.plotting.labels import plain, token_label
from circuitgraph.plotting.sweeps import heat_maps
from circuitgraph.plotting.values import HeatMap, Patterns, Picture

if TYPE_CHECKING:
    from circuitgraph.results.patterns import AttentionPatterns
    from circuitgraph.results.records import RunResult


MOST_HEADS = 24
"""Patterns of one picture."""


class Kind(StrEnum):
    """Kinds of pictures; the name of a single picture may stand in their place."""

    HEATMAP = "heatmap"
    BARS = "bars"
    ATTRIBUTION = "attribution"


def pictures_of(result: RunResult, *, metric: str | None = None, top: int = TOP) -> tuple[Picture, ...]:
    """Everything that can be drawn of a run: heat maps, bars and attributions, the first metric's before others'.

    Args:
        metric: one metric's alone.
        top: how many bars a bar chart has.

    Raises:
        InputError: no such metric.
    """
    known = tuple(dict.fromkeys((*result.metrics, *_attributed(result))))
    if metric is not None and metric not in known:
        raise InputError(f"'{metric}' is no metric of this run{did_you_mean(metric, known)}")
    found: list[Picture] = []
    for name in result.metrics if metric is None else (metric,):
        if name in result.metrics:
            found += heat_maps(result, name)
            bars = effect_bars(result, name, top)
            found += [] if bars is None else [bars]
    if result.attribution is not None:
        found += attribution_pictures(result.attribution, top, metric)
    return tuple(found)


def worth_drawing(result: RunResult) -> bool:
    """Whether a run holds a sweep or an attribution, rather than a few edges that the circuit shows."""
    return result.attribution is not None or any(heat_maps(result, metric) for metric in result.metrics)


def choose(pictures: Sequence[Picture], kind: str | None) -> tuple[Picture, ...]:
    """Those of a kind, or the one of that name.

    Raises:
        InputError: there is none; the message says what there is.
    """
    if kind is None:
        return tuple(pictures)
    names = [picture.name for picture in pictures]
    match kind:
        case Kind.HEATMAP:
            found = [p for p in pictures if isinstance(p, HeatMap) and not p.name.startswith("attribution")]
        case Kind.BARS:
            found = [p for p in pictures if p.name.partition(".")[0] == "bars"]
        case Kind.ATTRIBUTION:
            found = [p for p in pictures if p.name.startswith("attribution")]
        case _:
            found = [p for p in pictures if p.name == kind]
    if found:
        return tuple(found)
    if kind not in (*Kind, *names):
        raise InputError(f"'{kind}' is no kind of plot{did_you_mean(kind, (*Kind, *names))}")
    there = f"; there are: {', '.join(names)}" if names else ""
    raise InputError(f"nothing to plot as {kind}: {REASONS[Kind(kind)]}{there}")


REASONS = {
    Kind.HEATMAP: "a heat map needs four or more experiments that differ in the node (a*.h*@END) or position alone",
    Kind.BARS: "the run has no rows",
    Kind.ATTRIBUTION: "the spec has no attribution section",
}


def patterns_picture(patterns: AttentionPatterns) -> Patterns:
    """Whole attention patterns of one prompt as a picture."""
    tokens = tuple(map(token_label, patterns.tokens))
    heads = tuple(
        plain(head if group is None else f"{head} ({group})", 40)
        for group, head in zip(patterns.groups, patterns.heads, strict=True)
    )[:MOST_HEADS]
    more = len(patterns.heads) > MOST_HEADS
    part = f"; the first {MOST_HEADS} of {len(patterns.heads)} heads: others by name, with --heads" if more else ""
    return Patterns(
        name="attention",
        title=plain(f"{patterns.name}: what heads attend to in one prompt"),
        tokens=tokens,
        names=tuple(plain(name, 16) for name in patterns.names),
        heads=heads,
        weights=patterns.weights[:MOST_HEADS],
        note=f"pair {patterns.pair}, {patterns.run} prompt{part}",
    )


def _attributed(result: RunResult) -> tuple[str, ...]:
    table = result.attribution
    return () if table is None else tuple(total.metric for total in table.totals)
