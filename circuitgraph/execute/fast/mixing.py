"""One head reads another q, k or v: what its layer then writes. Many experiments of one layer at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from circuitgraph.execute.fast.kept import Kept
from circuitgraph.execute.fast.puts import Put
from circuitgraph.models.attention import AttentionRule, prepared, seen, softened
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind

Inputs = Mapping[SiteKind, Put]
"""What is put at Q, K and V of one head."""


def mixed_again(
    model: TransformerModel, kept: Kept, layer: int, heads: Sequence[int], inputs: Sequence[Inputs], start: int
) -> Tensor:
    """The change of what the attention of a layer writes, from token `start` on.

    Args:
        heads, inputs: one of each for an experiment.

    Returns:
        [batch, experiments, tokens, d_model]
    """
    rule, shape = model.rules[layer], model.shape
    groups = [head * shape.kv_heads // shape.heads for head in heads]
    positions = torch.arange(kept.length, device=model.device)
    q = _chosen(kept[Site(SiteKind.Q, layer)][:, start:], heads)
    _fill(q, inputs, SiteKind.Q, start)
    keys, values = (part[:, groups] for part in kept.attended(layer))
    if any(SiteKind.K in some for some in inputs):
        k = _chosen(kept[Site(SiteKind.K, layer)][:, start:], groups)
        _fill(k, inputs, SiteKind.K, start)
        keys[:, :, start:] = _ready(rule, k, positions[None, start:], keys=True)
    _fill(values, inputs, SiteKind.V, 0)
    q = _ready(rule, q, positions[None, start:], keys=False)
    weights = softened(rule, q @ keys.transpose(-1, -2), seen(rule, positions[start:], positions)).to(model.dtype)
    z = weights @ values
    change = z - _chosen(kept[Site(SiteKind.Z, layer)][:, start:], heads)
    change = change * _answering(inputs, start, shape.causal)[..., None].to(change.dtype)
    return _written(model, kept, layer, heads, change, start)


def _chosen(activation: Tensor, heads: Sequence[int]) -> Tensor:
    """[batch, tokens, heads, d_head] → a copy of one head for each experiment [batch, experiments, tokens, d_head]."""
    return activation[:, :, list(heads)].transpose(1, 2).contiguous()


def _fill(target: Tensor, inputs: Sequence[Inputs], kind: SiteKind, begin: int) -> None:
    for i, some in enumerate(inputs):
        if kind in some:
            some[kind].into(target[:, i], begin)


def _ready(rule: AttentionRule, x: Tensor, positions: Tensor, *, keys: bool) -> Tensor:
    """`prepared` for [batch, experiments, tokens, d_head]."""
    heads = x.flatten(0, 1).unsqueeze(2)
    return prepared(rule, heads, positions, keys=keys).squeeze(2).unflatten(0, x.shape[:2])


def _answering(inputs: Sequence[Inputs], start: int, causal: bool) -> Tensor:
    """The tokens whose z can differ: another query, or any token after another key or value. [batch, experiments, …]"""
    found = []
    for some in inputs:
        own = torch.zeros_like(next(iter(some.values())).changed)
        for kind, put in some.items():
            if kind is SiteKind.Q:
                own = own | put.changed
            elif causal:
                own = own | (put.changed.cumsum(dim=1) > 0)
            else:
                own = own | put.changed.any(dim=1, keepdim=True)
        found.append(own[:, start:])
    return torch.stack(found, dim=1)


def _written(
    model: TransformerModel, kept: Kept, layer: int, heads: Sequence[int], change: Tensor, start: int
) -> Tensor:
    """What a change of z [batch, experiments, tokens, d_head] does to what the layer writes."""
    attention = model.lean.attention[layer]
    if attention.post is not None:
        base = kept[Site(SiteKind.Z, layer)][:, start:]
        z = base[:, None].repeat(1, len(heads), 1, 1, 1)
        for i, head in enumerate(heads):
            z[:, i, :, head] += change[:, i]
        return attention.write(z) - attention.write(base)[:, None]
    out = change.new_empty(*change.shape[:3], attention.weight.shape[-1])
    for head in dict.fromkeys(heads):
        some = [i for i, each in enumerate(heads) if each == head]
        if len(some) == len(heads):
            return change @ attention.weight[head]
        out[:, some] = change[:, some] @ attention.weight[head]
    return out
