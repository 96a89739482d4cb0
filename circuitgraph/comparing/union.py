"""Comparison -> one circuit of both runs, and its rows as seen from A, from B, and as differences. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from circuitgraph.errors import InputError, did_you_mean
from circuitgraph.graph.claims import CircuitGraph, claim_id
from circuitgraph.results.records import Row

if TYPE_CHECKING:
    from circuitgraph.comparing.records import Comparison, Matched

SIDES = ("a", "b", "difference")


def union_graph(found: Comparison) -> CircuitGraph:
    """A's circuit, and what B alone has: each experiment once, by A's id where both have it."""
    a, b = found.a.graph, found.b.graph
    only_b = {id_ for item in found.only_b for id_ in item.ids}
    known = {claim_id(claim) for claim in a.claims}
    added = tuple(claim for claim in b.claims if claim_id(claim) in only_b and claim_id(claim) not in known)
    names = {group.name for group in a.groups}
    groups = (*a.groups, *(group for group in b.groups if group.name not in names))
    return replace(a, groups=groups, claims=(*a.claims, *added))


def rows_of(found: Comparison, side: str) -> tuple[Row, ...]:
    """The rows of the union as one side sees them.

    Raises:
        InputError: matched by group, or no such side.
    """
    if found.graph is None:
        raise InputError("the runs are matched by group: there is no circuit of both")
    if side not in SIDES:
        raise InputError(f"'{side}' is no side of a comparison{did_you_mean(side, SIDES)}")
    if side == "a":
        return tuple(row for row in found.a.rows if row.metric == found.metric)
    known_a, known_b = ({row.id: row for row in run.rows if row.metric == found.metric} for run in (found.a, found.b))
    if side == "difference":
        return tuple(_difference(each, known_a[each.ids_a[0]], known_b[each.ids_b[0]]) for each in found.rows)
    rows = [replace(known_b[each.ids_b[0]], id=each.ids_a[0], label=each.label) for each in found.rows]
    return (*rows, *(known_b[id_] for item in found.only_b for id_ in item.ids))


def _difference(each: Matched, a: Row, b: Row) -> Row:
    """A row whose effect is the difference; what is of one run alone is left out, settings of both are `A / B`.

    The metric is 0 in the base run, so that here too effect = metric_patched − metric_base.
    """
    return replace(
        b,
        id=each.ids_a[0],
        label=each.label,
        path=None if a.path is None and b.path is None else of_both(a.path or "", b.path or ""),
        base=of_both(a.base, b.base),
        source=of_both(a.source, b.source),
        executor=of_both(a.executor, b.executor),
        metric_base=0.0,
        metric_other=None,
        metric_patched=each.difference,
        effect=each.difference,
        normalized_effect=each.normalized_difference,
        std_error=each.std_error,
        ci_low=each.ci_low,
        ci_high=each.ci_high,
        normalized_ci_low=each.normalized_ci_low,
        normalized_ci_high=each.normalized_ci_high,
        interval=each.interval,
        p_value=each.p_value,
        q_value=each.q_value,
        n=min(each.n_a, each.n_b),
        same_sign=None,
        draws=None,
        draw_std=None,
        expected=None,
        verdict=None,
        pairs_needed=None,
        percentile=None,
        percentile_of=None,
    )


def of_both(a: str, b: str) -> str:
    """A setting of two runs: `direct`, or `fast / eap` where they differ."""
    return a if a == b else f"{a} / {b}"
