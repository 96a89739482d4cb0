"""Attention weights and mixed values from queries, keys and values: one rule per layer, no hooks.

The rule says everything in which families differ: scale, soft cap, window, mask, rotation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Rotate = Callable[[Tensor, Tensor], Tensor]
"""(x [batch, pos, heads, d_head], position ids [batch, pos]) → rotated x."""
Normalise = Callable[[Tensor], Tensor]
"""x [batch, pos, heads, d_head] → x, each head's vector normalised."""


@dataclass(frozen=True)
class AttentionRule:
    """How one layer turns q, k, v into z."""

    scale: float
    causal: bool = True
    soft_cap: float | None = None
    window: int | None = None
    """Sliding window: a query sees the keys less than `window` positions before it."""
    norm_q: Normalise | None = None
    norm_k: Normalise | None = None
    """What queries and keys pass through before they are rotated; the sites Q and K are before it."""
    rotate: Rotate | None = None
    scores_dtype: torch.dtype | None = None
    """The precision in which the loaded model multiplies queries with keys; None = its own."""
    softmax_dtype: torch.dtype | None = None
    """The precision in which the loaded model takes the softmax; None = that of the scores."""


def weigh(
    rule: AttentionRule, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, key_mask: Tensor
) -> Tensor:
    """Attention weights [batch, heads, queries, keys].

    Args:
        q: [batch, queries, heads, d_head], before norm and rotation.
        k: [batch, keys, kv heads or heads, d_head], before norm and rotation.
        q_positions, k_positions: position ids [batch, queries], [batch, keys].
        key_mask: [batch, keys], true for real tokens.
    """
    if rule.norm_q is not None:
        q = rule.norm_q(q)
    if rule.norm_k is not None:
        k = rule.norm_k(k)
    if rule.rotate is not None:
        q, k = rule.rotate(q, q_positions), rule.rotate(k, k_positions)
    k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    if rule.scores_dtype is not None:
        q, k = q.to(rule.scores_dtype), k.to(rule.scores_dtype)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * rule.scale
    if rule.soft_cap is not None:
        scores = torch.tanh(scores / rule.soft_cap) * rule.soft_cap
    distance = q_positions[:, :, None] - k_positions[:, None, :]
    visible = key_mask[:, None, :].expand_as(distance)
    if rule.causal:
        visible = visible & (distance >= 0)
    if rule.window is not None:
        visible = visible & (distance < rule.window)
    scores = scores.masked_fill(~visible[:, None], torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1, dtype=rule.softmax_dtype)


def mix(pattern: Tensor, v: Tensor) -> Tensor:
    """z [batch, queries, heads, d_head] from weights [batch, heads, queries, keys] and v [batch, keys, kv heads, …]."""
    return torch.einsum("bhqk,bkhd->bqhd", pattern, v.repeat_interleave(pattern.shape[1] // v.shape[2], dim=2))


def rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the half-split layout; x [batch, pos, heads, d_head], cos/sin [batch, pos, r ≤ d_head]."""
    width = cos.shape[-1]
    turned, kept = x[..., :width], x[..., width:]
    first, second = turned.chunk(2, dim=-1)
    swapped = torch.cat((-second, first), dim=-1)
    turned = turned * cos.unsqueeze(2) + swapped * sin.unsqueeze(2)
    return torch.cat((turned, kept), dim=-1)


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of dimensions 2i and 2i + 1; x as in `rotate_halves`, cos/sin [batch, pos, r/2]."""
    width = 2 * cos.shape[-1]
    turned, kept = x[..., :width], x[..., width:]
    swapped = torch.stack((-turned[..., 1::2], turned[..., ::2]), dim=-1).flatten(-2)
    cos, sin = (table.repeat_interleave(2, dim=-1).unsqueeze(2) for table in (cos, sin))
    return torch.cat((turned * cos + swapped * sin, kept), dim=-1)
