"""CircuitSpec -> what its metrics are called, as people say them."""

from __future__ import annotations

from circuitgraph.catalog import MetricParams, metrics
from circuitgraph.spec.model import CircuitSpec


def metric_names(spec: CircuitSpec) -> list[str]:
    """The metrics of a spec: `logit_diff at END`."""
    names = []
    for metric in spec.metrics:
        params = metrics.lookup(metric.name).read(metric.parameters)
        at = params.at if isinstance(params, MetricParams) else "END"
        names.append(f"{metric.name} at {at}")
    return names
