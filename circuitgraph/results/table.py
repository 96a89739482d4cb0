"""(Plan, Measured, CircuitGraph) -> Rows: what was measured per pair becomes the table. No files, no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitgraph.errors import NotFiniteError
from circuitgraph.graph.claims import ChainClaim, CircuitGraph, Claim, EdgeClaim, NodeClaim, SetClaim
from circuitgraph.nodes import Address
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.results.judged import with_significance
from circuitgraph.results.records import Measured, Row
from circuitgraph.spec.model import BaseRun
from circuitgraph.stats import intervals, normalized


@dataclass(frozen=True, slots=True)
class Ends:
    """The columns that say where an experiment acts."""

    sender: str
    sender_position: str | None
    receiver: str | None
    receiver_position: str | None
    path: str | None


def summarise(
    plan: Plan,
    measured: Iterable[Measured],
    graph: CircuitGraph,
    *,
    metrics: Sequence[str],
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    one_signed: Collection[tuple[str, BaseRun]] = (),
) -> tuple[Row, ...]:
    """One row per metric and experiment: all experiments in plan order for the first metric, then the next.

    Args:
        measured: every experiment of the plan under every metric, in any order.
        clusters: the cluster of each pair; None when pairs are independent.
        seed: of the bootstrap and of the sign flips.
        one_signed: the (metric, base) whose effects have one sign by definition, so that flipping it has no meaning.

    Raises:
        NotFiniteError: NaN or infinity in a value; the message names the experiment, metric and pair.
        ValueError: an experiment of the plan was not measured.
    """
    found = {(item.id, item.metric): item for item in measured}
    missing = [(e.label, metric) for metric in metrics for e in plan.experiments if (e.id, metric) not in found]
    if missing:
        raise ValueError(f"{len(missing)} experiments were not measured, first {missing[0][0]} under {missing[0][1]}")
    check_finite(plan, found.values())
    rows: list[Row] = []
    for metric in metrics:
        values = [found[experiment.id, metric] for experiment in plan.experiments]
        made = _rows_of_metric(plan.experiments, values, graph, clusters, seed)
        tested = np.array([(row.metric, BaseRun(row.base)) not in one_signed for row in made], dtype=bool)
        rows += with_significance(made, values, clusters, seed, tested)
    return tuple(rows)


def check_finite(plan: Plan, measured: Iterable[Measured]) -> None:
    """Refuse NaN and infinity, before they are saved or averaged.

    Raises:
        NotFiniteError: names the first such experiment, its id, metric and pair.
    """
    bad = [(item, name) for item in measured if (name := _not_finite(item))]
    if not bad:
        return
    item, name = bad[0]
    label = next(experiment.label for experiment in plan.experiments if experiment.id == item.id)
    values: NDArray[np.float64] = getattr(item, name)
    pairs = np.flatnonzero(~np.isfinite(values))
    others = f"; {len(bad) - 1} more are not finite" if len(bad) > 1 else ""
    raise NotFiniteError(
        f"{label} (id {item.id}): {name} of {item.metric} is not finite for {len(pairs)} of {len(values)} pairs, "
        f"first pair {pairs[0]} (counted from 0): {values[pairs[0]]}{others}"
    )


def _not_finite(item: Measured) -> str | None:
    """The first field that holds NaN or infinity."""
    for name in ("metric_base", "metric_other", "metric_patched"):
        values = getattr(item, name)
        if values is not None and not np.isfinite(values).all():
            return name
    return None


def stretched_warning(rows: Iterable[Row], measured: Iterable[Measured]) -> str | None:
    """Names, per metric, experiments whose interval reaches beyond the effects of all their pairs, or was cut there.

    That is what a lopsided sample looks like: few pairs lie far from the rest, and the interval can only guess.
    None if there are none.
    """
    effects = {(item.id, item.metric): item.effect for item in measured}
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.ci_low is None or row.ci_high is None or not row.std_error:
            continue
        values = effects[row.id, row.metric]
        if row.interval == "bootstrap-t-cut" or row.ci_low < values.min() or row.ci_high > values.max():
            found.setdefault(row.metric, []).append(row.label)
    if not found:
        return None
    listed = (
        f"{labels[0]}{f' and {len(labels) - 1} more' if len(labels) > 1 else ''} ({metric})"
        for metric, labels in found.items()
    )
    return (
        f"too few or too lopsided pairs for the interval of {', of '.join(listed)}: "
        "it reaches beyond the effect of every pair, or was cut there"
    )


def _rows_of_metric(
    experiments: Sequence[Experiment],
    measured: Sequence[Measured],
    graph: CircuitGraph,
    clusters: Sequence[str] | None,
    seed: int,
) -> list[Row]:
    if not experiments:
        return []
    effects = np.stack([item.effect for item in measured])
    base_means = _means([item.metric_base for item in measured])
    patched_means = _means([item.metric_patched for item in measured])
    found = intervals(effects, clusters, seed=seed)
    share = _normalized_by_base(experiments, measured, effects, clusters, seed)
    rows: list[Row] = []
    for i, (experiment, item) in enumerate(zip(experiments, measured, strict=True)):
        claim = graph.by_id[experiment.id]
        ends = ends_of(claim)
        rows.append(
            Row(
                id=experiment.id,
                kind=experiment.kind,
                label=experiment.label,
                sender=ends.sender,
                sender_position=ends.sender_position,
                receiver=ends.receiver,
                receiver_position=ends.receiver_position,
                path=ends.path,
                base=claim.how.base.value,
                source=str(claim.how.source),
                metric=item.metric,
                metric_base=float(base_means[i]),
                metric_other=None if item.metric_other is None else float(item.metric_other.mean()),
                metric_patched=float(patched_means[i]),
                effect=float(found.mean[i]),
                normalized_effect=_or_none(share[i, 0]),
                std_error=_or_none(found.std_error[i]),
                ci_low=_or_none(found.low[i]),
                ci_high=_or_none(found.high[i]),
                n=len(item.metric_base),
                executor=item.executor,
                normalized_ci_low=_or_none(share[i, 1]),
                normalized_ci_high=_or_none(share[i, 2]),
                interval=found.method[i],
                draws=None if item.draws is None else item.draws.shape[1],
                draw_std=None if item.draws is None else float(item.draws.mean(axis=0).std(ddof=1)),
            )
        )
    return rows


def _means(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean of each array; those of a matrix' rows are the same to the last bit, and found at once."""
    return np.stack(arrays).mean(axis=1)


def _normalized_by_base(
    experiments: Sequence[Experiment],
    measured: Sequence[Measured],
    effects: NDArray[np.float64],
    clusters: Sequence[str] | None,
    seed: int,
) -> NDArray[np.float64]:
    """Value, low and high of the normalized effect, [experiments, 3]; the gap is shared by a base's experiments."""
    share = np.full((len(experiments), 3), np.nan)
    for base in {experiment.base for experiment in experiments}:
        of_base = zip(experiments, measured, strict=True)
        members = [i for i, (e, m) in enumerate(of_base) if e.base is base and m.metric_other is not None]
        if not members:
            continue
        first = measured[members[0]]
        gaps = np.asarray(first.metric_other) - first.metric_base
        found = normalized(effects[members], gaps, clusters, seed=seed)
        share[members] = np.stack([found.value, found.low, found.high], axis=1)
    return share


def ends_of(claim: Claim) -> Ends:
    """Sender and receiver texts without positions, and the positions.

    A chain is named by its first and last node; of a set, the i-th sender belongs to the i-th receiver.
    """
    match claim:
        case EdgeClaim(senders, receivers):
            pass
        case NodeClaim(nodes):
            return Ends(_names(nodes), _positions(nodes), None, None, None)
        case ChainClaim(hops):
            senders, receivers = hops[:1], hops[-1:]
        case SetClaim(edges):
            senders, receivers = tuple(s for s, _ in edges), tuple(r for _, r in edges)
    return Ends(_names(senders), _positions(senders), _names(receivers), _positions(receivers), claim.how.path.value)


def _names(addresses: Sequence[Address]) -> str:
    return " + ".join(str(Address(address.node, address.ports)) for address in addresses)


def _positions(addresses: Sequence[Address]) -> str | None:
    """One position where all agree, else one per address (`all` = everywhere); None = everywhere."""
    positions = [address.position for address in addresses]
    if len(set(positions)) == 1:
        return None if positions[0] is None else str(positions[0])
    return " + ".join("all" if position is None else str(position) for position in positions)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
