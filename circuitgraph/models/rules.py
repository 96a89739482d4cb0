"""The attention rule of every layer of a loaded model, read from its own modules and config."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from circuitgraph.errors import ModelError
from circuitgraph.models.attention import AttentionRule, Rotate, rotate_halves
from circuitgraph.models.families import TL_LAYOUT

Rules = tuple[AttentionRule, ...]


def attention_rules(family: str, model: Any, layers: int) -> Rules:
    """One rule per layer for the module `model` that TransformerLens wraps.

    Raises:
        ModelError: no rule is written for the family.
    """
    if family not in _RULES:
        raise ModelError(f"no attention rule for model family '{family}'")
    return _RULES[family](model, layers)


def _rotary(module: Any) -> Rotate:
    """Rotation by the tables of a Hugging Face rotary module."""

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        cos, sin = module(x, positions)
        return rotate_halves(x, cos, sin)

    return rotate


def _gpt2(model: Any, layers: int) -> Rules:
    config = model.config
    width = config.n_embd // config.n_head
    base = 1.0 / math.sqrt(width) if config.scale_attn_weights else 1.0
    by_layer = config.scale_attn_by_inverse_layer_idx
    return tuple(AttentionRule(scale=base / (layer + 1) if by_layer else base) for layer in range(layers))


def _gpt_neox(model: Any, layers: int) -> Rules:
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    rotate = _rotary(model.gpt_neox.rotary_emb)
    # Unlike transformers' own, TransformerLens' attention for NeoX takes the softmax in the scores' precision.
    return (AttentionRule(scale=width**-0.5, rotate=rotate),) * layers


def _llama(model: Any, layers: int) -> Rules:
    width = model.model.layers[0].self_attn.head_dim
    rotate = _rotary(model.model.rotary_emb)
    return (AttentionRule(scale=width**-0.5, rotate=rotate, softmax_dtype=torch.float32),) * layers


def _gemma2(model: Any, layers: int) -> Rules:
    config = model.config
    rotate = _rotary(model.model.rotary_emb)
    return tuple(
        AttentionRule(
            scale=config.query_pre_attn_scalar**-0.5,
            soft_cap=config.attn_logit_softcapping,
            window=config.sliding_window if config.layer_types[layer] == "sliding_attention" else None,
            rotate=rotate,
            softmax_dtype=torch.float32,
        )
        for layer in range(layers)
    )


def _tl_layout(model: Any, layers: int) -> Rules:
    attention = model.layers[0].attn
    rotary = attention.rotary

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        turned, _ = rotary.apply_rope(x.transpose(1, 2), x.transpose(1, 2), position_ids=positions)
        return turned.transpose(1, 2)

    cap = attention.attn_scores_soft_cap
    rule = AttentionRule(
        scale=1.0 / attention.scale,
        causal=attention.causal,
        soft_cap=cap if cap > 0 else None,
        rotate=None if rotary is None else rotate,
    )
    return (rule,) * layers


_RULES: dict[str, Callable[[Any, int], Rules]] = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "gemma2": _gemma2,
    TL_LAYOUT: _tl_layout,
}
