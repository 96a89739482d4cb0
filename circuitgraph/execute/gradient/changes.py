"""The changes of many senders as one tensor, so that all of them meet all receivers of a layer in one product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.plans.types import Value

Drawn = tuple[tuple[Value, ...], int]
"""Senders in a draw."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One product: its row among the estimates; senders and receiver by their numbers."""

    row: int
    sender: int
    receiver: int
    through: bool


class Changes:
    """Changes of the residual stream by sender, and by the point where they land.

    Attributes:
        places: senders → their place in the tensor.
    """

    def __init__(self, streams: Mapping[int, Mapping[int, Tensor]]) -> None:
        """
        Args:
            streams: by sender's number, by point: [pairs, pos, d_model].
        """
        self.places = {key: i for i, key in enumerate(streams)}
        self._streams = streams
        first = next(iter(next(iter(streams.values())).values()))
        self._whole = first.new_empty(len(first), len(streams), first[0].numel())
        for i, stream in enumerate(streams.values()):
            self._whole[:, i] = together(stream).flatten(1)

    @property
    def points(self) -> list[int]:
        """Where changes land."""
        return sorted({point for stream in self._streams.values() for point in stream})

    def landing(self, point: int | None, senders: Iterable[int]) -> tuple[Tensor, dict[int, int]]:
        """The changes of some senders that land at a point (None = wherever) [pairs, senders, pos · d_model].

        With it, the place of each of them.
        """
        wanted = sorted(senders, key=self.places.__getitem__)
        if point is not None:
            wanted = [key for key in wanted if point in self._streams[key]]
            if not wanted:
                return self._whole[:, :0], {}
            found = torch.stack([self._streams[key][point].flatten(1) for key in wanted], dim=1)
            return found, {key: i for i, key in enumerate(wanted)}
        chosen = [self.places[key] for key in wanted]
        if chosen == list(range(len(chosen))):
            return self._whole[:, : len(chosen)], self.places
        return self._whole[:, chosen], {key: i for i, key in enumerate(wanted)}


def together(changes: Mapping[int, Tensor]) -> Tensor:
    """All changes together, wherever they land."""
    first, *others = changes.values()
    for other in others:
        first = first + other
    return first
