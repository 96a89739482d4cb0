"""A norm with its scale frozen: an affine map, found from what the norm does at the streams that pass through it.

A norm gives  w ∘ C x / s(x) + b : C takes the mean off (layer norm) or does nothing (RMS norm), s is its scale.
With s as it is in a run, that is affine in x, and a direction u of its output can be pulled back to its input:

    u · norm(x) = g · x + u · b        g = C (w ∘ u) / s

C, w and b are found by probing, so that no family's own names and offsets need to be known; s comes from the run.
Everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.errors import AuditError

_LARGE = 1e4
"""Probes are so large that what a norm adds under its root does not count."""
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
"""Relative. Also in float64: RMS norms of some families compute in float32, whatever they are given."""


@dataclass(frozen=True)
class FrozenNorm:
    """A norm at some streams.

    Attributes:
        weight: w [d_model]; None where there is no norm.
        bias: b [d_model], float64.
        centred: whether the mean is taken off.
        scale: elementwise 1 / s, [.., d_model] or [.., 1]; float64.
    """

    weight: Tensor | None
    bias: Tensor
    centred: bool
    scale: Tensor | None

    def pull(self, direction: Tensor) -> Tensor:
        """g: a direction of the norm's output [.., d_model] as one of its input."""
        if self.weight is None or self.scale is None:
            return direction
        pulled = direction * self.weight
        if self.centred:
            pulled = pulled - pulled.mean(dim=-1, keepdim=True)
        return pulled * self.scale


def freeze(norm: Callable[[Tensor], Tensor], stream: Tensor, name: str) -> FrozenNorm:
    """The norm with the scale that it has at `stream` [.., d_model].

    Raises:
        AuditError: it is none of the norms that are known: the affine map does not give what it gave.
    """
    width, like = stream.shape[-1], {"dtype": stream.dtype, "device": stream.device}
    even = _balanced(width).to(**like)
    with torch.no_grad():
        bias = norm(torch.zeros(width, **like)).double()
        one, two = (norm(factor * _LARGE * even).double() - bias for factor in (1, 2))
        flat = norm(_LARGE * torch.ones(width, **like)).double() - bias
        out = norm(stream).double() - bias
    exact = stream.double()
    if torch.allclose(two, 2 * one, rtol=1e-2):
        _check(name, exact, out, stream.dtype)
        return FrozenNorm(None, bias, centred=False, scale=None)
    weight = one / even.double()
    centred = bool(flat.abs().max() < 1e-2 * weight.abs().max())
    inner = (exact - exact.mean(dim=-1, keepdim=True) if centred else exact) * weight
    overall = (inner * out).sum(dim=-1, keepdim=True) / (inner * inner).sum(dim=-1, keepdim=True)
    _check(name, inner * overall, out, stream.dtype)
    # Without centring every element has its own factor: the rounding of the norm itself is kept in it.
    scale = overall if centred else torch.where(inner == 0, overall, out / torch.where(inner == 0, 1.0, inner))
    return FrozenNorm(weight, bias, centred, scale)


def _balanced(width: int) -> Tensor:
    """A vector without zeros of mean 0 and mean square 1."""
    found = torch.ones(width, dtype=torch.float64)
    found[1::2] = -1
    if width % 2:
        found[:3] = torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64)
        found[3::2], found[4::2] = 1, -1
    return found / found.square().mean().sqrt()


def _check(name: str, found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    tolerance = _TOLERANCE.get(dtype, 5e-2)
    deviation = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
    if not deviation <= tolerance:
        raise AuditError(
            f"{name} is no norm that can be frozen: as an affine map it deviates by {deviation:.1e} "
            f"(tolerated {tolerance:.0e})"
        )
