"""logit(answers) − logit(wrong answers), mean or largest over several."""

from torch import Tensor

from circuitgraph.catalog.metric_params import LogitDiffParams, Reduce
from circuitgraph.metrics.readout import Readout, max_logit, mean_logit


def measure(readout: Readout, params: LogitDiffParams) -> Tensor:
    """Logit difference per pair. [pairs]"""
    reduce = max_logit if params.reduce is Reduce.MAX else mean_logit
    return reduce(readout.logits, readout.answers) - reduce(readout.logits, readout.wrong)
