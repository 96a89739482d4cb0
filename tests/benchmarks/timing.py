"""Time, and how fast matrices are multiplied at best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Shape = tuple[int, int, int]
"""[a × b] · [b × c]"""
SHAPES: tuple[Shape, ...] = ((2048, 768, 3072), (2048, 3072, 768), (2048, 2048, 2048))
"""The MLP of GPT-2 small, and a square."""
REPEAT = 3


Clock = Callable[[], float]


def seconds(work: Callable[[], object], device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Time of one call, with everything that it left to a GPU."""
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True, order=True)
class Peak:
    """The fastest product of matrices."""

    flops: float
    """Per second."""
    shape: Shape


def peak(device: torch.device, shapes: Sequence[Shape] = SHAPES, clock: Clock = time.perf_counter) -> Peak:
    """The best of several shapes in float32, at PyTorch's own number of threads."""
    return max(_rate(shape, device, clock) for shape in shapes)


def _rate(shape: Shape, device: torch.device, clock: Clock) -> Peak:
    rows, inner, columns = shape
    a, b = torch.randn(rows, inner, device=device), torch.randn(inner, columns, device=device)
    torch.mm(a, b)
    best = min(seconds(lambda: torch.mm(a, b), device, clock) for _ in range(REPEAT))
    return Peak(2 * rows * inner * columns / best, shape)
