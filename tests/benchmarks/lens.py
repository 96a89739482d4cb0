"""The same numbers with TransformerLens, one forward pass per edge: its own functions, called as its users do."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.execute.bind import Batch
from circuitgraph.nodes import Head

Ends = tuple[Head, Head | None]
"""Sender and receiver; None where there is none, or where it is always the logits."""


class _Enough(Exception):  # noqa: N818 (nothing went wrong)
    """Ends a sweep of which only the first edges are wanted."""


class _Recorder:
    """The metric that TransformerLens calls once per edge. Keeps its value for each pair, which it would not."""

    def __init__(self, batch: Batch, count: int) -> None:
        self._batch = batch
        self._count = count
        self.seen: list[Tensor] = []

    def __call__(self, logits: Tensor) -> Tensor:
        last = logits[:, -1].double()
        value = last.gather(1, self._batch.answers).mean(1) - last.gather(1, self._batch.wrong).mean(1)
        self.seen.append(value)
        if len(self.seen) == self._count:
            raise _Enough
        return value.mean()


class Lens:
    """TransformerLens on one batch, clean prompts patched with values of the corrupted ones."""

    def __init__(self, bridge: Any, batch: Batch) -> None:
        """Cache both runs, which its functions are given."""
        self._bridge = bridge
        self._batch = batch
        with torch.no_grad():
            sides = (batch.clean, batch.corrupted)
            self._base, self._other = (bridge.run_with_cache(ids, names_filter=_is_z)[1] for ids in sides)

    @torch.no_grad()
    def forward(self) -> None:
        """A plain forward pass over the clean prompts."""
        self._bridge(self._batch.clean, use_cache=False)

    @torch.no_grad()
    def direct(self, edges: Sequence[Ends]) -> NDArray[np.float64]:
        """`get_act_patch_direct_path` into queries. [edges, pairs]

        Args:
            edges: of each sender the first of its sweep, in order.
        """
        from transformer_lens import patching

        found: list[Tensor] = []
        for sender, some in groupby(edges, key=lambda ends: ends[0]):
            metric = _Recorder(self._batch, len(list(some)))
            with suppress(_Enough):
                patching.get_act_patch_direct_path(
                    self._bridge,
                    self._batch.clean,  # Its "corrupted" run is the one that is patched.
                    self._other,
                    self._base,
                    metric,
                    sender.layer,
                    sender.index,
                    "q",
                    verbose=False,
                )
            found += metric.seen
        return _array(found)

    @torch.no_grad()
    def to_logits(self, edges: Sequence[Ends]) -> NDArray[np.float64]:
        """One hooked forward pass per edge: the change of a head's write is added before the final norm."""
        found: list[Tensor] = []
        for sender, _ in edges:
            name = f"blocks.{sender.layer}.attn.hook_z"
            weight = self._bridge.blocks[sender.layer].attn.W_O[sender.index]
            delta = (self._other[name] - self._base[name])[:, :, sender.index] @ weight

            def add(stream: Tensor, hook: Any, delta: Tensor = delta) -> Tensor:
                return stream + delta

            metric = _Recorder(self._batch, 0)
            metric(self._bridge.run_with_hooks(self._batch.clean, fwd_hooks=[("ln_final.hook_in", add)]))
            found += metric.seen
        return _array(found)

    @torch.no_grad()
    def nodes(self, edges: Sequence[Ends]) -> NDArray[np.float64]:
        """`get_act_patch_attn_head_out_all_pos`, told which heads."""
        from transformer_lens import patching

        metric = _Recorder(self._batch, len(edges))
        heads = pd.DataFrame([(sender.layer, sender.index) for sender, _ in edges], columns=["layer", "head"])
        # It draws a progress bar.
        with redirect_stderr(io.StringIO()), suppress(_Enough):
            patching.get_act_patch_attn_head_out_all_pos(
                self._bridge, self._batch.clean, self._other, metric, index_axis_names=None, index_df=heads
            )
        return _array(metric.seen)


def _is_z(name: str) -> bool:
    return name.endswith(("attn.hook_z", "attn.o.hook_in"))


def _array(values: Sequence[Tensor]) -> NDArray[np.float64]:
    return torch.stack(list(values)).cpu().numpy()
