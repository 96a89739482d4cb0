"""log of the summed probability of the answers, in nats."""

import torch
from torch import Tensor

from circuitgraph.catalog.metric_params import LogProbParams
from circuitgraph.metrics.readout import Readout, gather


def measure(readout: Readout, params: LogProbParams) -> Tensor:  # noqa: ARG001 (every metric has the same signature)
    """Log-probability per pair. [pairs]"""
    # Summed in log space: a small probability must not become log 0.
    return gather(readout.logits.log_softmax(dim=1), readout.answers, -torch.inf).logsumexp(dim=1)
