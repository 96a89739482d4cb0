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
    q, k = prepared(rule, q, q_positions, keys=False), prepared(rule, k, k_positions, keys=True)
    k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k)
    visible = key_mask[:, None, :] & seen(rule, q_positions, k_positions)
    return softened(rule, scores, visible[:, None])


def prepared(rule: AttentionRule, x: Tensor, positions: Tensor, *, keys: bool) -> Tensor:
    """Queries or keys [batch, pos, heads, d_head] as the scores need them: normalised and rotated.

    Args:
        positions: position ids [batch or 1, pos].
        keys: whether they are keys.
    """
    norm = rule.norm_k if keys else rule.norm_q
    x = x if norm is None else norm(x)
    x = x if rule.rotate is None else rule.rotate(x, positions)
    return x if rule.scores_dtype is None else x.to(rule.scores_dtype)


def seen(rule: AttentionRule, q_positions: Tensor, k_positions: Tensor) -> Tensor:
    """Whether a query may attend to a key. [.., queries, keys] from position ids [.., queries] and [.., keys]"""
    distance = q_positions[..., :, None] - k_positions[..., None, :]
    visible = distance >= 0 if rule.causal else torch.ones_like(distance, dtype=torch.bool)
    return visible if rule.window is None else visible & (distance < rule.window)


def softened(rule: AttentionRule, scores: Tensor, visible: Tensor) -> Tensor:
    """Weights from the products of queries and keys, where they are visible. [.., queries, keys]"""
    scores = scores * rule.scale
    if rule.soft_cap is not None:
        scores = torch.tanh(scores / rule.soft_cap) * rule.soft_cap
    scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
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
