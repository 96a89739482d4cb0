"""Address -> where in the model it is read and written: a site and the slice of it that is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from circuitgraph.errors import RefusedError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import (
    ALL_PORTS,
    MLP,
    Address,
    Attention,
    Feature,
    Head,
    Input,
    KVHead,
    Logits,
    Neuron,
    Port,
    Residual,
    Sae,
    SaeError,
)
from circuitgraph.plans.types import Prune, Value

if TYPE_CHECKING:
    from torch import Tensor

PORT_SITES = {Port.Q: SiteKind.Q, Port.K: SiteKind.K, Port.V: SiteKind.V, Port.PATTERN: SiteKind.PATTERN}


@dataclass(frozen=True, slots=True)
class Spot:
    """A slice of a site: one head or neuron, or all of it.

    `view` is set where keys or values are shared and only one query head's view of them is meant.
    """

    site: Site
    index: int | None = None
    view: int | None = None

    def put(self, old: Tensor, new: Tensor, where: Tensor | None) -> Tensor:
        """`old` with this slice taken from `new`; at the tokens `where` [batch, pos] is true, or everywhere."""
        result = old.clone()
        target, fresh = self.of(result), self.of(new)
        if where is None:
            target.copy_(fresh)
        else:
            target[where] = fresh[where]
        return result

    def of(self, activation: Tensor) -> Tensor:
        """A view of this slice: [batch, pos, …]; of a pattern, the position is the query's."""
        if self.index is None:
            return activation
        return activation[:, self.index] if self.site.kind is SiteKind.PATTERN else activation[:, :, self.index]


def output_spot(address: Address, shape: ModelShape) -> Spot:
    """Where a node's output is: what a sender or a patched node replaces.

    Raises:
        RefusedError: the node has no output of its own.
    """
    node = address.node
    match node:
        case Input():
            return Spot(Site(SiteKind.RESID_PRE, 0))
        case Head(layer, index):
            return Spot(Site(SiteKind.Z, layer), index)
        case Attention(layer):
            return Spot(Site(SiteKind.Z, layer))
        case MLP(layer):
            return Spot(Site(SiteKind.MLP_OUT, layer))
        case Neuron(layer, index):
            return Spot(Site(SiteKind.NEURONS, layer), index)
        case Residual(layer, mid=False) if layer == shape.layers:
            return Spot(Site(SiteKind.FINAL))
        case Residual(layer, mid):
            return Spot(Site(SiteKind.RESID_MID if mid else SiteKind.RESID_PRE, layer))
        case Feature(sae, index):
            return Spot(part_site(SiteKind.FEATURES, sae, shape), index)
        case SaeError(sae):
            return Spot(part_site(SiteKind.SAE_ERROR, sae, shape))
        case KVHead() | Logits():
            raise RefusedError(f"{address} has no output that could be replaced")
        case _:
            assert_never(node)


def input_spots(address: Address, shape: ModelShape) -> tuple[Spot, ...]:
    """Where a node's input is: what a receiver records and overwrites, one spot per port.

    Raises:
        RefusedError: the node has no input.
    """
    node = address.node
    ports = address.ports or ALL_PORTS
    match node:
        case Head(layer, index):
            return tuple(_head_spot(layer, index, port, shape) for port in ports)
        case KVHead(layer, index):
            return tuple(Spot(Site(PORT_SITES[port], layer), index) for port in ports if port is not Port.Q)
        case Attention(layer):
            return tuple(Spot(Site(PORT_SITES[port], layer)) for port in ports)
        case MLP(layer):
            return (Spot(Site(SiteKind.MLP_IN, layer)),)
        case Neuron(layer, index):
            # A neuron depends on its MLP's input alone: its value stands for that input.
            return (Spot(Site(SiteKind.NEURONS, layer), index),)
        case Residual() | Feature() | SaeError():
            # Parts of the stream are their own outputs.
            return (output_spot(address, shape),)
        case Logits():
            return (Spot(Site(SiteKind.FINAL)),)
        case Input():
            raise RefusedError(f"{address} has no input: nothing comes before it")
        case _:
            assert_never(node)


def part_site(kind: SiteKind, sae: Sae, shape: ModelShape) -> Site:
    """Where the features or the error of a sparse autoencoder are read and written."""
    stream = output_spot(Address(sae.site), shape).site
    return Site(kind, stream.layer, sae.name)


def value_spots(write: Value, shape: ModelShape) -> tuple[Spot, ...]:
    """Where a value is put: a node's output, or the ports that are named (q, k, v, the pattern).

    Without its output weights an MLP writes its bias alone: what it writes if no neuron is active.
    """
    address = write.address
    if isinstance(write.source, Prune) and isinstance(address.node, MLP):
        return (Spot(Site(SiteKind.NEURONS, address.node.layer)),)
    return input_spots(address, shape) if address.ports else (output_spot(address, shape),)


def _head_spot(layer: int, index: int, port: Port, shape: ModelShape) -> Spot:
    site = Site(PORT_SITES[port], layer)
    if port in (Port.Q, Port.PATTERN) or not shape.grouped:
        return Spot(site, index)
    return Spot(site, shape.kv_head(index), view=index)


def layer_after(spots: tuple[Spot, ...], shape: ModelShape) -> int | None:
    """The last block that must run to read all spots; None = the whole model."""
    layers = [spot.site.layer for spot in spots]
    return None if any(layer < 0 for layer in layers) or max(layers) == shape.layers - 1 else max(layers)
