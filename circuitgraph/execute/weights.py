"""Attention weights between positions, read from whole forward passes: one number per prompt, nothing patched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from circuitgraph.errors import InputError, NotFiniteError
from circuitgraph.graph.reading import AttentionReading
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Head
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import BaseRun

BATCH = 64
"""Prompts per forward pass."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What heads attend to in each prompt; float64 shares of 1.

    Attributes:
        weights: from the query to the key of each prompt. [heads, from, to, pairs]
        rest: from the query to all tokens that are none of the keys. [heads, from, pairs]
        visible: whether the key's token is there for the query, not after it in a causal model. [from, to, pairs]
    """

    weights: NDArray[np.float64]
    rest: NDArray[np.float64]
    visible: NDArray[np.bool_]


def read_weights(
    model: TransformerModel,
    prompts: PromptSet,
    reading: AttentionReading,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Weights:
    """Run the prompts of one side and read the weights of each distinct head, in the order of `heads_of`.

    Prompts of one length are run together, so that nothing is padded. `progress` is called with (prompts read,
    prompts in all).

    Raises:
        InputError: a prompt has no such position, or no corrupted side.
    """
    heads = heads_of(reading)
    queries, keys = (
        torch.tensor([prompts.indexes(position) for position in positions], device=model.device)
        for positions in (reading.from_positions, reading.to_positions)
    )
    shape = (len(heads), len(queries), len(keys), len(prompts))
    weights, rest = np.empty(shape), np.empty((*shape[:2], shape[3]))
    layers = sorted({head.layer for head in heads})
    sites = {layer: Site(SiteKind.PATTERN, layer) for layer in layers}
    done = 0
    progress(done, len(prompts))
    for same_length in prompts.by_length():
        for start in range(0, len(same_length), BATCH):
            rows = same_length[start : start + BATCH]
            ids = torch.tensor([_side(prompts, row, reading.run) for row in rows], device=model.device)
            patterns = model.run(ids, reads=sites.values(), stop_after=layers[-1]).reads
            q, k = queries[:, rows], keys[:, rows]
            batch = torch.arange(len(rows), device=model.device)
            # True at the tokens that no key names, of each prompt. [batch, key token]
            others = torch.ones_like(ids, dtype=torch.bool).scatter_(1, k.T, False)
            for h, head in enumerate(heads):
                pattern = patterns[sites[head.layer]][:, head.index].double()
                found = pattern[batch, q]  # [from, batch, key token]
                weights[h][:, :, rows] = found.gather(2, k.T.expand(len(q), -1, -1)).transpose(1, 2).cpu().numpy()
                rest[h][:, rows] = (found * others).sum(dim=-1).cpu().numpy()
            done += len(rows)
            progress(done, len(prompts))
    seen = keys[None] <= queries[:, None]
    visible = seen if model.shape.causal else torch.ones_like(seen)
    return Weights(weights, rest, visible.cpu().numpy())


def read_patterns(
    model: TransformerModel, prompts: PromptSet, heads: Sequence[Head], row: int, run: BaseRun
) -> NDArray[np.float64]:
    """Whole attention patterns of one prompt, float64 shares of 1. [heads, query, key]

    Raises:
        InputError: the pair has no corrupted side.
        NotFiniteError: NaN or infinity in a weight; the message names the head.
    """
    ids = torch.tensor([_side(prompts, row, run)], device=model.device)
    sites = {layer: Site(SiteKind.PATTERN, layer) for layer in sorted({head.layer for head in heads})}
    reads = model.run(ids, reads=sites.values(), stop_after=max(sites)).reads
    found = np.stack([reads[sites[head.layer]][0, head.index].double().cpu().numpy() for head in heads])
    for head, pattern in zip(heads, found, strict=True):
        if not np.isfinite(pattern).all():
            raise NotFiniteError(f"the attention of {head} is not finite in pair {row + 1}")
    return found


def heads_of(reading: AttentionReading) -> tuple[Head, ...]:
    """The distinct heads of a reading: one that several groups name is read once."""
    return tuple(dict.fromkeys(read.head for read in reading.heads))


def _side(prompts: PromptSet, row: int, run: BaseRun) -> tuple[int, ...]:
    pair = prompts.pairs[row]
    ids = pair.clean if run is BaseRun.CLEAN else pair.corrupted
    if ids is None:
        raise InputError(f"run: corrupted needs corrupted prompts, and pair {row + 1} has none")
    return ids
