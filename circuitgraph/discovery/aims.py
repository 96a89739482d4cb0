"""What is looked for: the spec's `discover:` section, what overrides it, and what it costs. Pure."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, TypeVar

from circuitgraph.errors import InputError, RefusedError, did_you_mean
from circuitgraph.graph.entries import needs_reference
from circuitgraph.graph.partition import partition_edges, partition_nodes
from circuitgraph.graph.shape import ModelShape
from circuitgraph.spec.model import CircuitSpec, DiscoverSection, DiscoveryMethod, Of, PathKind, SourceKind

_Choice = TypeVar("_Choice", bound=StrEnum)


def aims_of(
    spec: CircuitSpec,
    *,
    method: str | None = None,
    of: str | None = None,
    threshold: float | None = None,
    most: int | None = None,
) -> DiscoverSection:
    """The `discover:` section of a spec with what is given here in its place.

    Raises:
        InputError: no such method, or a number out of range.
        RefusedError: a combination that has no meaning; the message says why.
    """
    given: dict[str, Any] = {}
    if method is not None:
        given["method"] = _choice(DiscoveryMethod, method, "a method of discovery")
    if of is not None:
        given["of"] = _choice(Of, of, "what a circuit is made of")
    if threshold is not None:
        if not (math.isfinite(threshold) and threshold >= 0):
            raise InputError(f"threshold is {threshold}; it must be a number that is 0 or more")
        given["threshold"] = float(threshold)
    if most is not None:
        if most < 1:
            raise InputError(f"most is {most}; it must be 1 or more")
        given["most"] = most
    aims = (spec.discover or DiscoverSection()).model_copy(update=given)
    if problems := _problems(aims, spec):
        raise RefusedError("\n".join(problems))
    return aims


def _choice(choices: type[_Choice], value: str, noun: str) -> _Choice:
    try:
        return choices(value)
    except ValueError:
        raise InputError(f"'{value}' is not {noun}{did_you_mean(value, [c.value for c in choices])}") from None


def _problems(aims: DiscoverSection, spec: CircuitSpec) -> list[str]:
    """Why this cannot be looked for."""
    found: list[str] = []
    how = spec.intervention
    if how.source in (SourceKind.MEAN, SourceKind.RESAMPLE) and how.reference is None:
        found.append(needs_reference(how.source))
    if aims.of is Of.EDGES and how.path is PathKind.THROUGH_MLPS:
        found.append(
            "the edges between all nodes are direct, and those through MLPs are made of them: "
            "discover needs path: direct (--set intervention.path=direct)"
        )
    if aims.method is DiscoveryMethod.ACDC:
        if aims.of is Of.NODES:
            found.append(
                "acdc removes edges one by one, and a node goes with its last edge: use of: edges, or method: effects"
            )
        if aims.most is not None:
            found.append("acdc keeps what its threshold keeps: 'most' goes with method: effects")
        if aims.threshold == 0:
            found.append(
                "acdc needs a threshold τ above 0: an edge is removed if that changes the metric by less than τ, "
                "and at 0 rounding decides (--threshold, or discover: {threshold: …})"
            )
    return found


def looked_at(aims: DiscoverSection, shape: ModelShape) -> int:
    """How many edges or nodes of a model are looked at."""
    return len(partition_nodes(shape) if aims.of is Of.NODES else partition_edges(shape))


def describe_aims(aims: DiscoverSection, shape: ModelShape) -> str:
    """What is going to be done, with its cost. One line."""
    number = looked_at(aims, shape)
    if aims.method is DiscoveryMethod.ACDC:
        return f"acdc, {number} edges: at most as many forward passes"
    passes = 1 if aims.of is Of.NODES else 2
    return f"the effects of {number} {aims.of}: {passes * number} forward passes"


def describe_rule(aims: DiscoverSection, metric: str) -> str:
    """What is kept. One line."""
    threshold = f"{aims.threshold:g}"
    if aims.method is DiscoveryMethod.ACDC:
        return f"acdc on {metric}, τ = {threshold}"
    most = "" if aims.most is None else f", at most {aims.most}"
    return f"|effect| > {threshold} on {metric}{most}"
