"""What goes without saying: the settings of most experiments. Tables and pictures name only what differs from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from circuitgraph.graph.claims import Claim, NodeClaim

SETTINGS = ("path", "base", "source")


def settings(claim: Claim) -> dict[str, str]:
    """How a claim is measured; a node has no path."""
    found = {"path": claim.how.path.value, "base": claim.how.base.value, "source": str(claim.how.source)}
    return {name: value for name, value in found.items() if name != "path" or not isinstance(claim, NodeClaim)}


def usual_settings(experiments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The settings in which experiments differ, with the value that most have; of equally common ones, the first."""
    listed = list(experiments)
    values = {name: [each[name] for each in listed if name in each] for name in SETTINGS}
    return {name: statistics.mode(found) for name, found in values.items() if len(set(found)) > 1}


def unusual_settings(experiment: Mapping[str, str], usual: Mapping[str, str]) -> dict[str, str]:
    """Those of an experiment's settings that must be said."""
    return {name: experiment[name] for name in usual if experiment.get(name, usual[name]) != usual[name]}
