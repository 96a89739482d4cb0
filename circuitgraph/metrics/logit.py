"""logit(answers), mean or largest over several."""

from torch import Tensor

from circuitgraph.catalog.metric_params import AnswerLogitParams, Reduce
from circuitgraph.metrics.readout import Readout, max_logit, mean_logit


def measure(readout: Readout, params: AnswerLogitParams) -> Tensor:
    """Answer logit per pair. [pairs]"""
    reduce = max_logit if params.reduce is Reduce.MAX else mean_logit
    return reduce(readout.logits, readout.answers)
