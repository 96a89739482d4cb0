"""Stage 3 from the middle: the blocks after a change, many experiments at once, from the first token that changes.

The rows of a stack are [batch, experiments, tokens]. Tokens before the stack's first are as in the base run: their
keys and values are taken from there. In the last block only the tokens that are read have queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitgraph.execute.fast.kept import Kept
from circuitgraph.execute.fast.puts import Put
from circuitgraph.models.attention import AttentionRule, prepared, seen, softened
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.sites import Site, SiteKind

Puts = Mapping[Site, Sequence[tuple[int, Put]]]
"""site → (row among the experiments, what is put there), in the order in which it is put."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Experiments that run together. `start` is the first token, `read` the tokens that are read [batch, metrics]."""

    model: TransformerModel
    kept: Kept
    start: int
    read: Tensor
    puts: Puts = field(default_factory=dict)

    def finals(self, x: Tensor, point: int) -> Tensor:
        """The final residual stream at the tokens that are read.

        Args:
            x: the stream at `point` from token `start` on [batch, experiments, tokens, d_model]; is written into.

        Returns:
            [batch, experiments, metrics, d_model]
        """
        shape = self.model.shape
        if point % 2:
            x = self._mlp(x, x, point // 2) if shape.mlps else x
            point += 1
        for layer in range(point // 2, shape.layers):
            x = self._put(x, Site(SiteKind.RESID_PRE, layer))
            last = layer == shape.layers - 1 and not self._edited_in(layer)
            x = self._last_block(x, layer) if last else self._block(x, layer)
            if last:
                return x
        return self._taken(self._put(x, Site(SiteKind.FINAL)))

    def finals_of_read(self, x: Tensor, point: int) -> Tensor:
        """The same where no attention is left: `x` holds the tokens that are read alone."""
        return self._mlp(x, x, point // 2) if point % 2 and self.model.shape.mlps else x

    def _block(self, x: Tensor, layer: int) -> Tensor:
        middle = x + self._attention(x, x, layer, self._tokens()[None, self.start :])
        if not self.model.shape.mlps:
            return middle
        if self.model.shape.parallel:
            return self._mlp(middle, x, layer)
        middle = self._put(middle, Site(SiteKind.RESID_MID, layer))
        return self._mlp(middle, middle, layer)

    def _last_block(self, x: Tensor, layer: int) -> Tensor:
        """The same for the tokens that are read alone; they attend to all others."""
        asking = self._taken(x)
        middle = asking + self._attention(x, asking, layer, self.read)
        if not self.model.shape.mlps:
            return middle
        return self._mlp(middle, asking if self.model.shape.parallel else middle, layer)

    def _mlp(self, stream: Tensor, read: Tensor, layer: int) -> Tensor:
        """The stream after an MLP that reads `read`."""
        mlp, neurons, out = self.model.lean.mlps[layer], Site(SiteKind.NEURONS, layer), Site(SiteKind.MLP_OUT, layer)
        if neurons not in self.puts and out not in self.puts:
            return stream + mlp(read)
        inner = mlp.neurons(mlp.norm(read))
        return stream + self._put(mlp.write(self._put(inner, neurons)), out)

    def _attention(self, x: Tensor, asking: Tensor, layer: int, positions: Tensor) -> Tensor:
        """What attention writes at the tokens `asking` [batch, experiments, queries, d_model].

        Args:
            positions: of the queries [batch or 1, queries].
        """
        rule, attention = self.model.rules[layer], self.model.lean.attention[layer]
        together = asking is x
        ports = attention.ports(x, "qkv") if together else attention.ports(asking, "q") | attention.ports(x, "kv")
        q, k, v = (self._put(ports[kind.value], Site(kind, layer)) for kind in _PORTS)
        z = self._mixed(rule, q, k, v, layer, positions)
        return attention.write(self._put(z, Site(SiteKind.Z, layer)))

    def _mixed(self, rule: AttentionRule, q: Tensor, k: Tensor, v: Tensor, layer: int, positions: Tensor) -> Tensor:
        """z [batch, experiments, queries, heads, d_head]; keys before the stack are those of the base run."""
        batch, experiments, queries, heads, width = q.shape
        groups = k.shape[3]
        keys, values = (part[:, :, : self.start] for part in self.kept.attended(layer))
        tokens = self._tokens()
        q = _ready(rule, q, positions, keys=False)
        k = _ready(rule, k, tokens[None, self.start :], keys=True)
        # Batch and key/value head first: what is shared by all experiments is one matrix for them.
        q = q.unflatten(3, (groups, -1)).permute(0, 3, 1, 2, 4, 5).reshape(batch, groups, experiments, -1, width)
        before = q.flatten(2, 3) @ keys.transpose(-1, -2)
        own = q @ k.permute(0, 3, 1, 4, 2)
        scores = torch.cat((before.unflatten(2, (experiments, -1)), own), dim=-1)
        scores = scores.unflatten(3, (queries, -1))  # [batch, groups, experiments, queries, heads of a group, keys]
        visible = seen(rule, positions, tokens)[:, None, None, :, None]
        pattern = softened(rule, scores, visible).to(v.dtype)
        pattern = self._put_pattern(pattern, layer).flatten(3, 4)
        shared, rest = pattern[..., : self.start], pattern[..., self.start :]
        z = (shared.flatten(2, 3) @ values).unflatten(2, (experiments, -1)) + rest @ v.permute(0, 3, 1, 2, 4)
        return (
            z.unflatten(3, (queries, -1)).permute(0, 2, 3, 1, 4, 5).reshape(batch, experiments, queries, heads, width)
        )

    def _put(self, activation: Tensor, site: Site) -> Tensor:
        """The activation [batch, experiments, tokens, …], into which is written what is put at a site."""
        for row, put in self.puts.get(site, ()):
            put.into(put.within(activation[:, row]), self.start)
        return activation

    def _put_pattern(self, pattern: Tensor, layer: int) -> Tensor:
        """The same for attention weights [batch, groups, experiments, queries, heads of a group, keys]."""
        for row, put in self.puts.get(Site(SiteKind.PATTERN, layer), ()):
            group, head = divmod(put.spot.index or 0, pattern.shape[4])
            put.into(pattern[:, group, row, :, head], self.start)
        return pattern

    def _edited_in(self, layer: int) -> bool:
        """Whether something is put into a block or after it."""
        return any(site.layer == layer or site.kind is SiteKind.FINAL for site in self.puts)

    def _taken(self, x: Tensor) -> Tensor:
        """The tokens that are read. [batch, experiments, metrics, d_model]"""
        at = (self.read - self.start).clamp(min=0)[:, None, :, None]
        return x.gather(2, at.expand(-1, x.shape[1], -1, x.shape[3]))

    def _tokens(self) -> Tensor:
        return torch.arange(self.kept.length, device=self.model.device)


_PORTS = (SiteKind.Q, SiteKind.K, SiteKind.V)


def _ready(rule: AttentionRule, x: Tensor, positions: Tensor, *, keys: bool) -> Tensor:
    """`prepared` for [batch, experiments, tokens, heads, d_head] and positions [batch or 1, tokens]."""
    experiments = x.shape[1]
    if len(positions) > 1:
        positions = positions.repeat_interleave(experiments, dim=0)
    return prepared(rule, x.flatten(0, 1), positions, keys=keys).unflatten(0, (-1, experiments))
