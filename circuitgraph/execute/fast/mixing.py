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
    model: TransformerModel,
    kept: Kept,
    layer: int,
    heads: Sequence[int],
    inputs: Sequence[Inputs],
    start: int,
    read: Tensor | None = None,
) -> Tensor:
    """The change of what the attention of a layer writes, from token `start` on.

    Args:
        heads, inputs: one of each for an experiment.
        read: at these tokens alone [batch, tokens], none of them before `start`; None = at all.

    Returns:
        [batch, experiments, tokens, d_model]
    """
    rule, shape = model.rules[layer], model.shape
    groups = [shape.kv_head(head) for head in heads]
    positions = torch.arange(kept.length, device=model.device)
    asking = positions[None, start:] if read is None else read
    q = _chosen(kept[Site(SiteKind.Q, layer)][:, start:], heads)
    _fill(q, inputs, SiteKind.Q, start)
    q = _at(q, read, start)
    keys, values = (part[:, groups] for part in kept.attended(layer))
    if any(SiteKind.K in some for some in inputs):
        k = _chosen(kept[Site(SiteKind.K, layer)][:, start:], groups)
        _fill(k, inputs, SiteKind.K, start)
        keys[:, :, start:] = _ready(rule, k, positions[None, start:], keys=True)
    _fill(values, inputs, SiteKind.V, 0)
    q = _ready(rule, q, asking, keys=False)
    weights = softened(rule, q @ keys.transpose(-1, -2), seen(rule, asking, positions)[:, None]).to(model.dtype)
    z = weights @ values
    change = z - _at(_chosen(kept[Site(SiteKind.Z, layer)][:, start:], heads), read, start)
    change = change * _at(_answering(inputs, start, shape.causal)[..., None], read, start).to(change.dtype)
    if model.lean.attention[layer].post is not None:
        base = kept[Site(SiteKind.Z, layer)][:, None, start:]
        return _written_anew(
            model, layer, heads, change, _at(base.flatten(3), read, start).unflatten(3, base.shape[3:])
        )
    return _written(model, layer, heads, change)


def _at(activation: Tensor, read: Tensor | None, start: int) -> Tensor:
    """[batch, experiments, tokens, width] at the tokens `read` [batch, n]; the first of `activation` is `start`."""
    if read is None:
        return activation
    index = (read - start)[:, None, :, None]
    return activation.gather(2, index.expand(-1, activation.shape[1], -1, activation.shape[3]))


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
    if len(positions) > 1:
        positions = positions.repeat_interleave(x.shape[1], dim=0)
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


def _written_anew(model: TransformerModel, layer: int, heads: Sequence[int], change: Tensor, base: Tensor) -> Tensor:
    """What a change of z does to what the layer writes, where that depends on all heads.

    Args:
        change: [batch, experiments, tokens, d_head].
        base: z of the base run [batch, 1, tokens, heads, d_head].
    """
    z = base.repeat(1, len(heads), 1, 1, 1)
    for i, head in enumerate(heads):
        z[:, i, :, head] += change[:, i]
    write = model.lean.attention[layer].write
    return write(z) - write(base)


def _written(model: TransformerModel, layer: int, heads: Sequence[int], change: Tensor) -> Tensor:
    """The same where each head writes for itself."""
    weight = model.lean.attention[layer].weight
    out = change.new_empty(*change.shape[:3], weight.shape[-1])
    for head in dict.fromkeys(heads):
        some = [i for i, each in enumerate(heads) if each == head]
        if len(some) == len(heads):
            return change @ weight[head]
        out[:, some] = change[:, some] @ weight[head]
    return out
