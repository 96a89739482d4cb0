"""Summed probability of the answers − summed probability of the wrong answers."""

from torch import Tensor

from circuitgraph.catalog.metric_params import ProbDiffParams
from circuitgraph.metrics.readout import Readout, total_prob


def measure(readout: Readout, params: ProbDiffParams) -> Tensor:  # noqa: ARG001 (every metric has the same signature)
    """Probability difference per pair. [pairs]"""
    return total_prob(readout.logits, readout.answers) - total_prob(readout.logits, readout.wrong)
