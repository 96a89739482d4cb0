"""KL(reference ‖ patched) of the distributions over the next token, in nats."""

from torch import Tensor

from circuitgraph.catalog.metric_params import KLParams, KLReference
from circuitgraph.errors import InputError
from circuitgraph.metrics.readout import Readout


def measure(readout: Readout, params: KLParams) -> Tensor:
    """Divergence per pair. [pairs]

    Raises:
        InputError: the reference is the corrupted run and there is none.
    """
    match params.to:
        case KLReference.BASE:
            reference = readout.base
        case KLReference.CLEAN:
            reference = readout.clean
        case KLReference.CORRUPTED:
            reference = readout.corrupted
    if reference is None:
        raise InputError("kl to the corrupted run needs corrupted prompts")
    expected, found = reference.log_softmax(dim=1), readout.logits.log_softmax(dim=1)
    return (expected.exp() * (expected - found)).sum(dim=1)
