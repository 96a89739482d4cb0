"""Gradients: how metrics of a run change with its activations, everything downstream following.

The same hooked forward pass as `bridge.TransformerModel.run`, with a graph behind it. Weights take no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.errors import ModelError
from circuitgraph.models.bridge import TransformerModel, Write
from circuitgraph.models.sites import Site, SiteKind, hook_name
from circuitgraph.models.threads import fitting_threads

START, FINAL = Site(SiteKind.RESID_PRE, 0), Site(SiteKind.FINAL)


@dataclass(frozen=True)
class Slopes:
    """A run: activations at some sites, and for each metric their gradients, of the same shapes."""

    values: Mapping[Site, Tensor]
    gradients: tuple[Mapping[Site, Tensor], ...]


class _Enough(Exception):  # noqa: N818 (no error)
    """The final stream has been reached."""


def slopes(
    model: TransformerModel,
    ids: Tensor,
    sites: Iterable[Site],
    measure: Callable[[Tensor], Tensor],
    *,
    reads: Iterable[Site] = (),
    entering: Tensor | None = None,
    writes: Mapping[Site, Write] | None = None,
) -> Slopes:
    """One forward pass and a backward pass for each metric.

    Args:
        ids: [batch, pos] token ids, all real.
        sites: where gradients are taken, after any write there. RESID_MID is taken where attention is added.
        measure: metrics from the final residual stream [batch, pos, d_model]; [metrics, batch].
        reads: further sites whose activations are kept.
        entering: the residual stream to begin with, in place of the embeddings.
        writes: what replaces the activation at a site; functions old → new, through which gradients pass.

    Raises:
        ModelError: a site was never reached.
    """
    writes = dict(writes or {})
    wanted = [_added(site) for site in dict.fromkeys(sites)]
    taken: dict[Site, Tensor] = {}

    def hook(site: Site) -> Callable[..., Any]:
        def take(tensor: Tensor, hook: Any) -> Tensor:  # noqa: ARG001 (TransformerLens passes it by name)
            # A tensor of the site's own: one norm's value may go into attention and MLP, or be the stream itself.
            new = tensor.clone()
            if site == START:
                # A leaf: what is before it, the embeddings, needs no gradient.
                new = (tensor if entering is None else entering).detach().clone().requires_grad_()
            if site in writes:
                new = writes[site](new)
            taken[site] = new
            if site == FINAL:
                raise _Enough
            return new

        return take

    hooked = dict.fromkeys((START, *wanted, *reads, *writes, FINAL))
    bridge = model._bridge
    with torch.enable_grad(), fitting_threads(model.shape):
        with suppress(_Enough):
            bridge.run_with_hooks(ids, fwd_hooks=[(hook_name(site), hook(site)) for site in hooked], use_cache=False)
        if missed := [str(site) for site in hooked if site not in taken]:
            raise ModelError(f"the model never computed {', '.join(sorted(missed))}")
        metrics = measure(taken[FINAL])
        found = tuple(_gradient(metric, taken, wanted, i + 1 < len(metrics)) for i, metric in enumerate(metrics))
    for block in bridge.blocks:
        if getattr(block.attn, "_pattern", None) is not None:
            block.attn._pattern = None  # TransformerLens keeps the last one, and with it the whole graph
    return Slopes({site: tensor.detach() for site, tensor in taken.items()}, found)


def _added(site: Site) -> Site:
    """Between its halves a block's stream changes as what attention adds does."""
    return Site(SiteKind.ATTN_OUT, site.layer) if site.kind is SiteKind.RESID_MID else site


def _gradient(metric: Tensor, taken: Mapping[Site, Tensor], wanted: list[Site], again: bool) -> dict[Site, Tensor]:
    tensors = [taken[site] for site in wanted]
    if not metric.requires_grad or not tensors:
        return {site: torch.zeros_like(tensor) for site, tensor in zip(wanted, tensors, strict=True)}
    found = torch.autograd.grad(metric.sum(), tensors, retain_graph=again, allow_unused=True)
    return {
        site: torch.zeros_like(tensor) if gradient is None else gradient
        for site, tensor, gradient in zip(wanted, tensors, found, strict=True)
    }
