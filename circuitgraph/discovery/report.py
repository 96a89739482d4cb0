"""Discovery -> the table that `discover` prints, and its JSON. Plain text, no torch."""

from __future__ import annotations

from typing import Any

from circuitgraph.discovery.aims import describe_rule
from circuitgraph.discovery.records import Discovery, Found

NOT_RUN = "–"


def discovery_table(discovery: Discovery, top: int) -> str:
    """What was kept and what was not, the largest first, `top` lines at most."""
    shown = discovery.ranked[:top]
    noun = discovery.settings.of.value
    column = "effect" if discovery.distance is None else "change of D"
    cells = [(noun[:-1], column, "")] + [(one.label, _number(one), "kept" if one.kept else "") for one in shown]
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    lines = [f"{name:<{widths[0]}}  {number:>{widths[1]}}  {kept}".rstrip() for name, number, kept in cells]
    if len(discovery.ranked) > top:
        kept = len(discovery.kept) - sum(one.kept for one in shown)
        lines.append(f"… {len(discovery.ranked) - top} more, {kept} of them kept")
    return "\n".join([*_facts(discovery), "", *lines])


def _facts(discovery: Discovery) -> list[str]:
    """What the numbers are, and what came out."""
    line = f"{discovery.metric}: {discovery.metric_base:.4g} in the {discovery.base} run, {discovery.pairs} pairs"
    if discovery.metric_other is not None:
        gap = discovery.metric_other - discovery.metric_base
        line += f"; {discovery.metric_other:.4g} in the other run (gap {gap:+.4g})"
    noun = discovery.settings.of.value
    kept = f"{len(discovery.kept)} of {len(discovery.ranked)} {noun} kept"
    rule = describe_rule(discovery.settings, discovery.metric)
    if discovery.distance is None:
        meaning = f"effect = metric(patched) − metric(base), each {noun[:-1]} alone"
        return [line, meaning, f"{kept}: {rule}"]
    skipped = len(discovery.ranked) - discovery.experiments
    return [
        line,
        "change of D = D(without the edge) − D(with it), in its turn; D = |mean metric(circuit) − mean metric(base)|",
        f"{kept}: {rule}; D of what was kept: {discovery.distance:.4g}",
        f"{discovery.experiments} runs; {skipped} edges went without one ({NOT_RUN}): nothing they reach was left",
    ]


def _number(one: Found) -> str:
    return NOT_RUN if one.effect is None else f"{one.effect:+.4f}" if abs(one.effect) >= 5e-5 else f"{one.effect:+.1e}"


def discovery_json(discovery: Discovery) -> dict[str, Any]:
    """Everything, in JSON types."""
    return {
        "settings": discovery.settings.model_dump(mode="json"),
        "metric": discovery.metric,
        "base": discovery.base,
        "metric_base": discovery.metric_base,
        "metric_other": discovery.metric_other,
        "pairs": discovery.pairs,
        "prompts": discovery.prompts,
        "held_out": discovery.held_out,
        "experiments": discovery.experiments,
        "distance": discovery.distance,
        "kept": len(discovery.kept),
        "ranked": [
            {"sender": one.sender, "receiver": one.receiver, "effect": one.effect, "kept": one.kept}
            for one in discovery.ranked
        ],
        "spec": None if discovery.path is None else str(discovery.path),
        "pairs_file": None if discovery.pairs_path is None else str(discovery.pairs_path),
        "warnings": list(discovery.warnings),
    }
