"""A plan as JSON, and the hash of what decides its numbers. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from circuitgraph.graph.claims import source_content
from circuitgraph.plans.types import Experiment, Isolate, Plan, Recorded, Swap, Value, Write


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan in JSON types; addresses in canonical form."""
    return {"name": plan.name, "experiments": [experiment_to_json(e) for e in plan.experiments]}


def experiment_to_json(experiment: Experiment) -> dict[str, Any]:
    """One experiment in JSON types."""
    return {
        "id": experiment.id,
        "kind": experiment.kind,
        "label": experiment.label,
        "base": experiment.base.value,
        "isolations": [_isolation(isolation) for isolation in experiment.isolations],
        "propagate": [_write(write) for write in experiment.propagate.writes],
        "repeat": experiment.repeat,
    }


def _isolation(isolation: Isolate) -> dict[str, Any]:
    return {
        "writes": [_write(write) for write in isolation.writes],
        "free": isolation.free.value,
        "record": [str(address) for address in isolation.record],
    }


def _write(write: Write) -> dict[str, Any]:
    match write:
        case Value(address, source, kept):
            body = {"value": str(address), "source": source_content(source)}
            return body | ({"kept": [str(position) for position in kept]} if kept else {})
        case Recorded(address, isolation):
            return {"recorded": str(address), "isolation": isolation}
        case Swap(senders, port, source, kept):
            body = {"swap": [str(s) for s in senders], "port": str(port), "source": source_content(source)}
            return body | ({"kept": [[str(position) for position in some] for some in kept]} if any(kept) else {})


def plan_hash(plan: Plan) -> str:
    """sha256 over the experiments without their labels: equal hash, equal numbers."""
    bodies = [{k: v for k, v in experiment_to_json(e).items() if k != "label"} for e in plan.experiments]
    return hashlib.sha256(json.dumps(bodies, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
