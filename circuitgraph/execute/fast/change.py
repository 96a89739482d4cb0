"""A change of the residual stream in a batch, kept only where it is not zero. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to a base activation: `delta` [batch, width, …] at the tokens `start` to `stop`, zero elsewhere.

    The first and the last token of it change in some pair, unless the width is 0.
    """

    start: int
    delta: Tensor

    @property
    def stop(self) -> int:
        """One after the last token that changes."""
        return self.start + self.delta.shape[1]

    def __bool__(self) -> bool:
        return self.delta.shape[1] > 0

    def of(self, pairs: Tensor) -> Change:
        """The same for some pairs of the batch."""
        return self if len(pairs) == self.delta.shape[0] else Change(self.start, self.delta[pairs])

    def tokens(self, length: int) -> Tensor:
        """Whether a token changes. [batch, length]"""
        found = torch.zeros(self.delta.shape[0], length, dtype=torch.bool, device=self.delta.device)
        found[:, self.start : self.stop] = (self.delta != 0).flatten(2).any(dim=-1)
        return found

    def trimmed(self) -> Change:
        """The same, without tokens at either end that do not change."""
        return change_of(self.delta, self.start)

    def at(self, where: Tensor | None) -> Change:
        """The change at the tokens `where` [batch, length] alone; None = all."""
        if where is None:
            return self
        kept = where[:, self.start : self.stop].reshape(*self.delta.shape[:2], *[1] * (self.delta.dim() - 2))
        return change_of(torch.where(kept, self.delta, torch.zeros_like(self.delta)), self.start)

    def but(self, where: Tensor | None) -> Change:
        """The change everywhere but at those tokens."""
        nothing = Change(self.start, self.delta[:, :0])
        return nothing if where is None else self.at(~where)

    def __add__(self, other: Change) -> Change:
        if not self or not other:
            return self or other
        start, stop = min(self.start, other.start), max(self.stop, other.stop)
        total = self.spread(start, stop)
        total[:, other.start - start : other.stop - start] += other.delta
        return Change(start, total)

    def spread(self, start: int, stop: int) -> Tensor:
        """A new tensor with the change between two tokens, zeros where nothing changes. [batch, stop − start, …]"""
        full = self.delta.new_zeros(self.delta.shape[0], stop - start, *self.delta.shape[2:])
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            full[:, first - start : last - start] = self.delta[:, first - self.start : last - self.start]
        return full


def change_of(delta: Tensor, start: int = 0) -> Change:
    """A change from a difference [batch, tokens, …] that begins at token `start`."""
    changed = (delta != 0).flatten(2).any(dim=-1).any(dim=0).nonzero()
    if not len(changed):
        return Change(start, delta[:, :0])
    first, last = int(changed[0]), int(changed[-1]) + 1
    return Change(start + first, delta[:, first:last])


def rows_of(changes: Sequence[Change], base: Tensor) -> Tensor:
    """Base activation + change at the tokens that each of them changes, one below the other. [rows, …]"""
    return torch.cat([(base[:, c.start : c.stop] + c.delta).flatten(0, 1) for c in changes])


def split_rows(rows: Tensor, changes: Sequence[Change]) -> list[Tensor]:
    """The other way round: [batch, width, …] for each change."""
    parts = rows.split([change.delta.shape[0] * change.delta.shape[1] for change in changes])
    return [part.unflatten(0, change.delta.shape[:2]) for part, change in zip(parts, changes, strict=True)]
