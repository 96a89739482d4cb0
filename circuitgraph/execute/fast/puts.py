"""What is written where in the run of stage 3, and at which tokens it differs from the base run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.execute.spots import Spot
from circuitgraph.models.sites import SiteKind


@dataclass(frozen=True, eq=False)
class Put:
    """A slice of an activation, given for some tokens.

    Attributes:
        spot: the site, and the head or neuron of it.
        start: the token that `value` [batch, width, …] begins with.
        where: the tokens [batch, length] at which it is written.
        changed: those of them at which it differs from the base run.
    """

    spot: Spot
    start: int
    value: Tensor
    where: Tensor
    changed: Tensor

    def of(self, pairs: Tensor) -> Put:
        """The same for some pairs of the batch."""
        if len(pairs) == len(self.value):
            return self
        return Put(self.spot, self.start, self.value[pairs], self.where[pairs], self.changed[pairs])

    def into(self, target: Tensor, begin: int) -> None:
        """Write into a slice [batch, tokens, …] of which token `begin` is the first."""
        first = max(self.start, begin)
        last = min(self.start + self.value.shape[1], begin + target.shape[1])
        if first >= last:
            return
        place = target[:, first - begin : last - begin]
        new = self.value[:, first - self.start : last - self.start]
        where = self.where[:, first:last].reshape(*place.shape[:2], *[1] * (place.dim() - 2))
        place.copy_(torch.where(where, new, place))

    def within(self, activation: Tensor) -> Tensor:
        """The slice of a whole activation [batch, tokens, …] that it is written into, a view."""
        return activation if self.spot.index is None else activation[:, :, self.spot.index]

    def everywhere(self, base: Tensor, where: Tensor | None) -> Put:
        """Written at all tokens `where`, also at those where it is as in the base run.

        What the run has there may differ from the base run by then.

        Args:
            base: the activation [batch, length, …] of the base run.
            where: the tokens [batch, length]; None = all.
        """
        value = self.within(base).clone()
        self.into(value, 0)
        return Put(self.spot, 0, value, torch.ones_like(self.where) if where is None else where, self.changed)


def put_of(spot: Spot, value: Tensor, base: Tensor, where: Tensor | None) -> Put:
    """What is put at a spot, from whole activations of its site at the tokens from the first one on.

    Args:
        value, base: [batch, length, …]; of attention weights [batch, heads, length, keys].
        where: the tokens [batch, length] at which it is put; None = all.
    """
    pattern = spot.site.kind is SiteKind.PATTERN
    new, old = (_slice(spot, each, pattern) for each in (value, base))
    differs = (new != old).flatten(2).any(dim=-1) if new.dim() > 2 else new != old
    where = torch.ones_like(differs) if where is None else where
    # A value that does not exist at a token is NaN there, and is never read: `where` leaves it out.
    return Put(spot, 0, new, where, differs & where)


def _slice(spot: Spot, activation: Tensor, pattern: bool) -> Tensor:
    if spot.index is None:
        return activation
    return activation[:, spot.index] if pattern else activation[:, :, spot.index]


def first_true(tokens: Tensor, length: int) -> Tensor:
    """The first token of each row [.., length] that is true; `length` where none is."""
    order = torch.arange(length, device=tokens.device).expand_as(tokens)
    return order.masked_fill(~tokens, length).amin(dim=-1)
