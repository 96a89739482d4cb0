"""Summed probability of the answers."""

from torch import Tensor

from circuitgraph.catalog.metric_params import ProbParams
from circuitgraph.metrics.readout import Readout, total_prob


def measure(readout: Readout, params: ProbParams) -> Tensor:  # noqa: ARG001 (every metric has the same signature)
    """Probability per pair. [pairs]"""
    return total_prob(readout.logits, readout.answers)
