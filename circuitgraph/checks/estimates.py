"""What cannot be estimated from gradients, and where an estimate says nothing. Pure: problems are noted."""

from __future__ import annotations

from circuitgraph import catalog
from circuitgraph.graph.claims import CircuitGraph, Origin, claim_arrow
from circuitgraph.graph.findings import Findings
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.estimates import why_no_estimate
from circuitgraph.spec.model import CircuitSpec, EstimateMethod


def check_estimates(spec: CircuitSpec, graph: CircuitGraph, findings: Findings) -> None:
    """Note what cannot be estimated, once for each entry."""
    if spec.estimate is None:
        return
    told: set[tuple[Origin, str]] = set()
    for claim in graph.claims:
        reason = why_no_estimate(experiment_of(claim, graph.shape), graph.shape, spec.estimate.method)
        if reason is not None and (claim.origin, reason) not in told:
            told.add((claim.origin, reason))
            findings.add_at(claim.origin, f"{claim_arrow(claim)}: {reason}")


def estimate_warning(spec: CircuitSpec, graph: CircuitGraph) -> str | None:
    """What a reader should know of a metric whose gradient says nothing."""
    if spec.estimate is None or spec.estimate.method not in (EstimateMethod.EAP, EstimateMethod.ATP):
        return None
    bases = {claim.how.base.value for claim in graph.claims}
    for metric in spec.metrics:
        if catalog.metrics.lookup(metric.name).one_signed and metric.parameters.get("to", "base") in ("base", *bases):
            return (
                f"estimate: '{metric.name}' to the run that is patched is smallest there, so its gradient and every "
                f"estimate by {spec.estimate.method.value} is 0; use an eap-ig method, or another metric"
            )
    return None
