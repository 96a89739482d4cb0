"""(RunResult, metric) -> what its numbers are called and counted in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from circuitgraph.plotting.labels import file_name, plain
from circuitgraph.plotting.values import Quantity
from circuitgraph.spec.model import EstimateMethod

if TYPE_CHECKING:
    from circuitgraph.results.records import RunResult

UNITS = {
    "logit_diff": "logits",
    "logit": "logits",
    "log_prob": "nats",
    "kl": "nats",
    "prob": "probability",
    "prob_diff": "probability",
}


def effect_on(result: RunResult, metric: str) -> Quantity:
    """The effect of an experiment on a metric: patched − base; or an estimate of it, as is then said."""
    name = plain(metric, 40)
    methods = sorted({row.executor for row in result.rows if row.metric == metric} & set(EstimateMethod))
    if methods:
        return Quantity(f"effect on {name}, estimated by {', '.join(methods)}", unit_of(result, metric), "", "")
    return Quantity(f"effect on {name}", unit_of(result, metric), f"raises {name}", f"lowers {name}")


def unit_of(result: RunResult, metric: str) -> str | None:
    """The unit of a metric's column: what the spec calls the metric decides, not its label."""
    given = _setting(result.provenance, "spec").get("metrics") or ()
    names = [entry.get("name", "") if isinstance(entry, Mapping) else str(entry) for entry in given]
    index = result.metrics.index(metric)
    plugin = names[index] if index < len(names) else metric.partition("@")[0].partition("(")[0]
    return UNITS.get(plugin)


def positions_of(result: RunResult) -> tuple[str, ...]:
    """The names of positions from left to right."""
    return tuple(map(str, result.provenance.get("settings", {}).get("positions") or ()))


def tokens_of(result: RunResult) -> Mapping[str, Any]:
    """The first pair's tokens, as a run keeps them (`prompts.tokens.first_tokens`); empty if it has none."""
    return _setting(result.provenance, "tokens")


def named(name: str, result: RunResult, metric: str) -> str:
    """A picture's name: with the metric's, and its number, unless it is the first."""
    index = result.metrics.index(metric)
    return name if index == 0 else f"{name}.{index + 1}-{file_name(metric)}"


def _setting(provenance: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = provenance.get("settings", {}).get(key)
    return found if isinstance(found, Mapping) else {}
