"""Gradients at the inputs of receivers, pulled back to the residual stream that each receiver alone reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from circuitgraph.errors import RefusedError
from circuitgraph.execute.spots import Spot, input_spots
from circuitgraph.models.attention import mix, weigh
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.lean import Map
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import (
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Residual,
    SaeError,
)

ROWS = 2**24
"""Numbers that are pulled back at once."""


@dataclass(frozen=True)
class Pulled:
    """The gradient at the stream that receivers read [receivers, batch, pos, d_model], and below MLPs on the way.

    `below`: (point, gradient for changes that land there or earlier), from the receiver down.
    """

    here: Tensor
    below: tuple[tuple[int, Tensor], ...] = ()

    def at(self, point: int) -> Tensor:
        """The gradient for a change that lands at a point of the residual stream."""
        return next((gradient for reached, gradient in reversed(self.below) if point <= reached), self.here)


def gradient_sites(addresses: Iterable[Address], model: TransformerModel) -> set[Site]:
    """Where gradients are needed to pull back those of some receivers."""
    found: set[Site] = set()
    for address in addresses:
        for spot in input_spots(address, model.shape):
            found.add(Site(SiteKind.Z, spot.site.layer) if spot.view is not None else spot.site)
    return found


def value_sites(addresses: Iterable[Address], model: TransformerModel) -> set[Site]:
    """Activations that are needed for it beside the residual stream: q, k and v where heads share keys or values."""
    views = {s.site.layer for a in addresses for s in input_spots(a, model.shape) if s.view is not None}
    return {Site(kind, layer) for layer in views for kind in (SiteKind.Q, SiteKind.K, SiteKind.V)}


def stream_sites(model: TransformerModel) -> list[Site]:
    """The activations of which the residual stream is made up."""
    layers, mids = range(model.shape.layers), model.shape.mlps and not model.shape.parallel
    found = [Site(SiteKind.RESID_PRE, layer) for layer in layers]
    return found + [Site(SiteKind.ATTN_OUT, layer) for layer in layers if mids]


class Pulls:
    """Pulls back the gradient of one metric in one run."""

    def __init__(
        self,
        model: TransformerModel,
        values: Mapping[Site, Tensor],
        gradient: Mapping[Site, Tensor],
        moved: Mapping[int, Tensor],
    ) -> None:
        """
        Args:
            moved: streams that receivers read instead of the run's, by point.
        """
        self._model = model
        self._values = values
        self._gradient = gradient
        self._moved = moved
        self._views: dict[int, dict[SiteKind, Tensor]] = {}

    def stream(self, point: int) -> Tensor:
        """The residual stream at one of its points. [batch, pos, d_model]"""
        if point in self._moved:
            return self._moved[point]
        layer, half = divmod(point, 2)
        if layer == self._model.shape.layers:
            return self._values[Site(SiteKind.FINAL)]
        before = self._values[Site(SiteKind.RESID_PRE, layer)]
        return before + self._values[Site(SiteKind.ATTN_OUT, layer)] if half else before

    def pull(self, receivers: Sequence[Address], through: bool) -> Pulled:
        """The gradients of receivers that read the stream at one point, all positions, in their order.

        Args:
            through: whether MLPs on the way respond.
        """
        here = self._here(receivers)
        if not through:
            return Pulled(here)
        below, gradient = [], here
        for layer in reversed(self._model.shape.mlps_between(Input(), receivers[0].node)):
            reached = self._model.shape.read_at(MLP(layer))
            gradient = gradient + _vjp(self._model.lean.mlps[layer], self.stream(reached), gradient)
            below.append((reached, gradient))
        return Pulled(here, tuple(below))

    def _here(self, receivers: Sequence[Address]) -> Tensor:
        node = receivers[0].node
        match node:
            case Head() | KVHead() | Attention():
                normed = torch.stack([self._into_attention(address) for address in receivers])
                return _vjp(self._model.lean.attention[node.layer].norm, self.stream(2 * node.layer), normed)
            case MLP(layer):
                into = self._gradient[Site(SiteKind.MLP_IN, layer)].expand(len(receivers), -1, -1, -1)
                return _vjp(self._model.lean.mlps[layer].norm, self.stream(self._model.shape.read_at(node)), into)
            case Neuron(layer):
                return self._neurons(layer, receivers)
            case Residual() | Logits():
                return torch.stack([self._of_stream(address) for address in receivers])
            case Feature() | SaeError():
                raise RefusedError(f"{node} is measured, not estimated")
            case Input():
                raise RefusedError(f"{node} has no input: nothing comes before it")
            case _:
                assert_never(node)

    def _of_stream(self, address: Address) -> Tensor:
        (spot,) = input_spots(address, self._model.shape)
        mid = spot.site.kind is SiteKind.RESID_MID
        return self._gradient[Site(SiteKind.ATTN_OUT, spot.site.layer) if mid else spot.site]

    def _neurons(self, layer: int, receivers: Sequence[Address]) -> Tensor:
        mlp, found = self._model.lean.mlps[layer], []
        gradient = self._gradient[Site(SiteKind.NEURONS, layer)]
        for address in receivers:
            (spot,) = input_spots(address, self._model.shape)
            alone = torch.zeros_like(gradient)
            alone[..., spot.index] = gradient[..., spot.index]
            stream = self.stream(self._model.shape.read_at(address.node))
            found.append(_vjp(lambda x: mlp.neurons(mlp.norm(x)), stream, alone[None])[0])
        return torch.stack(found)

    def _into_attention(self, address: Address) -> Tensor:
        """The gradient at the normed stream that a receiver's queries, keys or values are made of."""
        total: Tensor | None = None
        for spot in input_spots(address, self._model.shape):
            weight = self._model.lean.attention[spot.site.layer].inputs[spot.site.kind.value]
            gradient = self.at_spot(spot)
            if spot.index is None:
                one = torch.einsum("bphw,dhw->bpd", gradient, weight)
            else:
                one = gradient @ weight[:, spot.index].T
            total = one if total is None else total + one
        if total is None:
            raise RefusedError(f"{address} has no input that could be pulled back")
        return total

    def at_spot(self, spot: Spot) -> Tensor:
        """The gradient at one slice of a site; of a pattern [batch, query, key]."""
        if spot.view is not None:
            return self._own_views(spot.site.layer)[spot.site.kind][:, :, spot.view]
        site = Site(SiteKind.ATTN_OUT, spot.site.layer) if spot.site.kind is SiteKind.RESID_MID else spot.site
        return spot.of(self._gradient[site])

    def _own_views(self, layer: int) -> dict[SiteKind, Tensor]:
        """Gradients of keys and values as each query head sees them, where heads share them. [batch, pos, heads, …]"""
        if layer not in self._views:
            model, heads = self._model, self._model.shape.heads
            q, k, v = (self._values[Site(kind, layer)] for kind in (SiteKind.Q, SiteKind.K, SiteKind.V))
            where = torch.arange(q.shape[1], device=q.device).expand(q.shape[:2])
            with torch.enable_grad():
                own = [x.repeat_interleave(heads // x.shape[2], dim=2).detach().requires_grad_() for x in (k, v)]
                pattern = weigh(model.rules[layer], q, own[0], where, where, torch.ones_like(where, dtype=torch.bool))
                z = mix(pattern.to(v.dtype), own[1])
                found = torch.autograd.grad(z, own, self._gradient[Site(SiteKind.Z, layer)])
            self._views[layer] = dict(zip((SiteKind.K, SiteKind.V), found, strict=True))
        return self._views[layer]


def _vjp(function: Map, stream: Tensor, gradient: Tensor) -> Tensor:
    """The gradients [receivers, batch, pos, ..] of a function's values, pulled back to the stream it reads."""
    step = max(1, ROWS // stream.numel())
    found = []
    for some in gradient.split(step):
        with torch.enable_grad():
            x = stream.detach().expand(len(some), *stream.shape).requires_grad_()
            (one,) = torch.autograd.grad(function(x), x, some)
        found.append(one)
    return torch.cat(found)
