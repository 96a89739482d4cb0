"""How many threads a model is computed with: small matrices are slower on several, and far slower on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from circuitgraph.graph.shape import ModelShape

SMALL = 256
"""Width of the residual stream below which one thread computes faster than several."""


def threads_for(shape: ModelShape) -> int:
    """The number of threads: one for a small model, else what PyTorch is set to."""
    return 1 if (shape.d_model or SMALL) < SMALL else torch.get_num_threads()


@contextmanager
def fitting_threads(shape: ModelShape) -> Iterator[None]:
    """Compute with `threads_for(shape)` inside the block; PyTorch's own setting comes back after it."""
    with using_threads(threads_for(shape)):
        yield


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Compute with so many threads inside the block; None = as PyTorch is set."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
