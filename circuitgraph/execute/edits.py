"""What is put where in one run: edits, what is let go of a frozen site, and the two together as one write. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from circuitgraph.execute.spots import Spot
from circuitgraph.models.bridge import Write
from circuitgraph.models.sites import Site


@dataclass(frozen=True)
class Edit:
    """Put a slice of `value` at a spot, at the tokens `where` [batch, pos] (None = everywhere)."""

    spot: Spot
    value: Tensor
    where: Tensor | None

    def __call__(self, old: Tensor) -> Tensor:
        return self.spot.put(old, self.value, self.where)


@dataclass(frozen=True)
class Release:
    """Let a spot follow the run, at the tokens `where` [batch, pos] (None = everywhere), while its site is frozen."""

    spot: Spot
    where: Tensor | None


T = TypeVar("T", Edit, Release)


def of_site(items: Sequence[T], site: Site) -> list[T]:
    """Those that concern a site."""
    return [item for item in items if item.spot.site == site]


def both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The tokens that two masks share; None = everywhere."""
    return b if a is None else a if b is None else a & b


def write_of(frozen: Tensor | None, released: Sequence[Release], edits: Sequence[Edit]) -> Write:
    """Start from the frozen value, but for what is released, or from the current one; apply the edits in order."""

    def write(old: Tensor) -> Tensor:
        new = old if frozen is None else frozen
        for release in released:
            new = release.spot.put(new, old, release.where)
        for edit in edits:
            new = edit(new)
        return new

    return write
