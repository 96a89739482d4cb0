"""The attention rule of every layer of a loaded model, read from its own modules and config."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from circuitgraph.errors import ModelError
from circuitgraph.models.attention import AttentionRule, Rotate, rotate_halves, rotate_pairs
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


def _rotary(module: Any, **which: str) -> Rotate:
    """Rotation by the tables of a Hugging Face rotary module; `which` of its tables, where it has several."""

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        cos, sin = module(x, positions, **which)
        return rotate_halves(x, cos, sin)

    return rotate


def _window(config: Any, layer: int) -> int | None:
    """The sliding window of a layer whose kind `layer_types` tells."""
    kind, window = config.layer_types[layer], config.sliding_window
    if kind == "full_attention":
        return None
    if kind != "sliding_attention" or window is None:
        raise ModelError(f"layer {layer} is of type '{kind}' with a sliding_window of {window}: not supported")
    return window


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
            window=_window(config, layer),
            rotate=rotate,
            softmax_dtype=torch.float32,
        )
        for layer in range(layers)
    )


def _gemma3(model: Any, layers: int) -> Rules:
    config = model.config

    def rule(layer: int) -> AttentionRule:
        attention = model.model.layers[layer].self_attn
        return AttentionRule(
            scale=config.query_pre_attn_scalar**-0.5,
            window=_window(config, layer),
            norm_q=attention.q_norm,
            norm_k=attention.k_norm,
            # Layers with a window and layers without one rotate with frequencies of their own.
            rotate=_rotary(model.model.rotary_emb, layer_type=config.layer_types[layer]),
            softmax_dtype=torch.float32,
        )

    return tuple(rule(layer) for layer in range(layers))


def _qwen2(model: Any, layers: int) -> Rules:
    return tuple(replace(rule, window=_window(model.config, layer)) for layer, rule in enumerate(_llama(model, layers)))


def _qwen3(model: Any, layers: int) -> Rules:
    attentions = [model.model.layers[layer].self_attn for layer in range(layers)]
    rules = zip(_qwen2(model, layers), attentions, strict=True)
    return tuple(replace(rule, norm_q=attention.q_norm, norm_k=attention.k_norm) for rule, attention in rules)


def _mistral(model: Any, layers: int) -> Rules:
    return tuple(replace(rule, window=model.config.sliding_window) for rule in _llama(model, layers))


def _opt(model: Any, layers: int) -> Rules:
    scale = model.model.decoder.layers[0].self_attn.scaling
    return (AttentionRule(scale=scale, softmax_dtype=torch.float32),) * layers


def _gptj(model: Any, layers: int) -> Rules:
    attention = model.transformer.h[0].attn
    # The table is the same in all layers: sines first, then cosines.
    table: Tensor = attention.embed_positions

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        sin, cos = table[positions].to(x.dtype).chunk(2, dim=-1)
        return rotate_pairs(x, cos, sin)

    rule = AttentionRule(
        scale=attention.head_dim**-0.5,
        rotate=rotate,
        scores_dtype=torch.float32,
        # The mask, in the model's precision, raises that of the scores it is added to.
        softmax_dtype=torch.promote_types(torch.float32, model.dtype),
    )
    return (rule,) * layers


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
    "gemma3_text": _gemma3,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "mistral": _mistral,
    "opt": _opt,
    "phi": _llama,
    "gptj": _gptj,
    TL_LAYOUT: _tl_layout,
}
