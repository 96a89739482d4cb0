"""The attribution section against the metrics, the model's shape and the prompts. Pure: problems are noted."""

from __future__ import annotations

from circuitgraph import catalog
from circuitgraph.catalog.metric_params import LogitParams, Reduce
from circuitgraph.checks.attention import read_positions
from circuitgraph.checks.needs import none_of_them
from circuitgraph.checks.places import Places
from circuitgraph.graph.findings import Findings
from circuitgraph.graph.reading import AttributionReading
from circuitgraph.graph.shape import ModelShape
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import AttributionOf, CircuitSpec, PluginSpec


def attribution_reading(
    spec: CircuitSpec, shape: ModelShape, places: Places, prompts: PromptSet | None, findings: Findings
) -> AttributionReading | None:
    """What the attribution section asks for; None without one, or while the prompts are not known as tokens."""
    section = spec.attribution
    if section is None:
        return None
    if shape.soft_cap:
        findings.add(("attribution",), CAPPED)
    reasons = [why_not(metric, prompts) for metric in spec.metrics]
    linear = tuple(i for i, reason in enumerate(reasons) if reason is None)
    if not linear:
        works = ", ".join(entry.name for entry in catalog.metrics if entry.linear_in_logits)
        findings.add(("metrics", 0), f"attribution takes apart what is linear in the logits ({works}); {reasons[0]}")
    at = None if section.at is None else read_positions(section.at, ("attribution", "at"), places, findings)
    if prompts is None:
        return None
    if section.of is not AttributionOf.CLEAN and not prompts.paired:
        message = f"of: {section.of.value} needs corrupted prompts, and {none_of_them(prompts)}"
        findings.add(("attribution", "of"), message)
    return AttributionReading(linear, section.unit, section.of, at, places.shared() if section.tokens else None)


CAPPED = (
    "the logits of this model pass a soft cap (tanh), so they are no sum of what components write; "
    "attribution works for models without one, and edges into logits measure the same exactly"
)


def why_not(metric: PluginSpec, prompts: PromptSet | None) -> str | None:
    """Why a metric is no fixed linear function of the logits; None if it is."""
    entry = catalog.metrics.lookup(metric.name)
    if not entry.linear_in_logits:
        return f"'{metric.name}' is not"
    params = entry.read(metric.parameters)
    if isinstance(params, LogitParams) and params.reduce is Reduce.MAX and prompts is not None:
        several = [i for i, p in enumerate(prompts.pairs) if max(len(p.answers), len(p.wrong_answers)) > 1]
        if several:
            return (
                f"'{metric.name}' with reduce: max is not where there are several answers (pair {several[0] + 1}); "
                "write reduce: mean"
            )
    return None
