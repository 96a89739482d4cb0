"""Attention that TransformerLens leaves to transformers, opened: what is written to its weights counts.

For such a family TransformerLens calls the hook of the attention weights when the values have been mixed
already, and drops what the hook returns. Here the weights, those of transformers' own function, go through
the hook first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

PatternHook = Callable[[Tensor], Tensor]

_IMPLEMENTATION = "circuitgraph_eager"


def open_patterns(family: str, module: Any, bridge: Any) -> None:
    """Let the attention weights of a wrapped model pass through their hooks, where they do not by themselves."""
    if family in _OPEN:
        _OPEN[family](module)
        for block in bridge.blocks:
            # TransformerLens' word for: hand the hook over, and do not call it afterwards.
            block.attn.original_component.accepts_pattern_fn = True


def _opt(module: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(_IMPLEMENTATION, _opt_attention)
    AttentionMaskInterface.register(_IMPLEMENTATION, eager_mask)
    module.config._attn_implementation = _IMPLEMENTATION


def _opt_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    pattern_fn: PatternHook,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """transformers' eager attention of q, k, v [batch, heads, pos, d_head]: z [batch, pos, heads, d_head], weights."""
    from transformers.models.opt.modeling_opt import eager_attention_forward

    if attention_mask is not None and attention_mask.dtype is torch.float64:
        # The softmax is float32, where the lowest float64 is −∞: a row of padding would be NaN and spread.
        attention_mask = attention_mask.clamp(min=torch.finfo(torch.float32).min)
    _, weights = eager_attention_forward(module, query, key, value, attention_mask, **kwargs)
    weights = pattern_fn(weights)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def _gptj(module: Any) -> None:
    for block in module.transformer.h:
        _open_gptj(block.attn)


def _open_gptj(attention: Any) -> None:
    component = attention.original_component
    own = component._attn

    def attend(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None) -> Any:
        _, weights = own(query, key, value, attention_mask)
        weights = attention.hook_pattern(weights)
        return weights @ value, weights

    component._attn = attend


_OPEN: dict[str, Callable[[Any], None]] = {"opt": _opt, "gptj": _gptj}
