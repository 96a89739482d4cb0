"""A loaded transformer: whole runs with reads and writes, and the same computation piece by piece.

The one place, with `loading` and `proofs`, that knows TransformerLens. Everything here works on raw
(unfolded) weights, without gradients, and returns new tensors. `proofs.prove` checks at load that
the pieces compose to the whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from circuitgraph.errors import ModelError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.attention import AttentionRule, weigh
from circuitgraph.models.dictionaries import Dictionary
from circuitgraph.models.lean import Lean, lean_of
from circuitgraph.models.sites import PARTS, Site, SiteKind, hook_name, scores_hook_name
from circuitgraph.models.threads import fitting_threads

P = ParamSpec("P")
T = TypeVar("T")

Write = Callable[[Tensor], Tensor]
"""old activation → new activation, of the same shape."""


@dataclass(frozen=True)
class Run:
    """What a forward pass gave: logits [batch, pos, vocab] (None if it stopped early) and the reads."""

    logits: Tensor | None
    reads: Mapping[Site, Tensor]


def _piece(
    method: Callable[Concatenate[TransformerModel, P], T],
) -> Callable[Concatenate[TransformerModel, P], T]:
    """A piece of the computation: no gradients, and deaf to the hooks of a run that is going on.

    Writes may call pieces; the hooks of the run they belong to must not fire inside them.
    """

    @functools.wraps(method)
    def deaf(self: TransformerModel, *args: P.args, **kwargs: P.kwargs) -> T:
        self._in_piece += 1
        try:
            with torch.no_grad():
                return method(self, *args, **kwargs)
        finally:
            self._in_piece -= 1

    return deaf


class TransformerModel:
    """A transformer behind circuitgraph's protocol.

    Attributes:
        shape: sizes and layout.
        rules: how each layer turns q, k, v into z.
        device, dtype: where and how it computes.
        fingerprint: sha256 over config, tokenizer and weights.
        dictionaries: sparse autoencoders by name, which take streams apart at the sites `PARTS`.
    """

    def __init__(
        self, bridge: Any, shape: ModelShape, rules: tuple[AttentionRule, ...], fingerprint: str, soft_cap: float | None
    ) -> None:
        self._bridge = bridge
        self.rules = rules
        self._soft_cap = soft_cap
        self._in_piece = 0
        self.shape = shape
        self.fingerprint = fingerprint
        self.dictionaries: Mapping[str, Dictionary] = {}
        if shape.d_head is None:
            raise ModelError("the shape does not say d_head")
        self._width = shape.d_head
        parameter = next(bridge.parameters())
        self.device: torch.device = parameter.device
        self.dtype: torch.dtype = parameter.dtype

    # Whole runs -------------------------------------------------------------------------------

    @torch.no_grad()
    def run(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        reads: Iterable[Site] = (),
        writes: Mapping[Site, Write] | None = None,
        stop_after: int | None = None,
        unembed: bool = True,
    ) -> Run:
        """One forward pass.

        Args:
            ids: [batch, pos] token ids.
            mask: [batch, pos], true for real tokens; None = all real.
            reads: sites to return, after any write there.
            writes: what replaces the activation at a site; pure functions old → new.
            stop_after: the last block to run; the logits are then None.
            unembed: whether to go on from the final residual stream, which must be among the reads if not; the
                logits are then None.

        Raises:
            ModelError: a write changed a shape, or a site was never reached.
        """
        collector = _Collector(self, tuple(dict.fromkeys(reads)), dict(writes or {}), unembed)
        logits = None
        with fitting_threads(self.shape), suppress(_Enough):
            logits = self._bridge.run_with_hooks(
                ids,
                fwd_hooks=collector.hooks() + ([] if mask is None else self._finite_scores()),
                attention_mask=None if mask is None else mask.long(),
                stop_at_layer=None if stop_after is None else stop_after + 1,
                use_cache=False,
            )
        collector.check()
        return Run(logits if stop_after is None else None, collector.reads)

    def _finite_scores(self) -> list[tuple[str, Callable[..., Any]]]:
        """Hooks that keep the scores of padding finite where the softmax is less precise than the scores.

        The mask holds the lowest number of the scores' precision, which is −∞ in the softmax's: a query that
        sees nothing, as padding on the left does, would be NaN and spread.
        """
        return [
            (scores_hook_name(layer), _clamp_to(rule.softmax_dtype))
            for layer, rule in enumerate(self.rules)
            if rule.softmax_dtype is not None and torch.finfo(rule.softmax_dtype).min > torch.finfo(self.dtype).min
        ]

    def position_ids(self, mask: Tensor) -> Tensor:
        """The position ids of the real tokens [batch, pos]: counted without padding."""
        return (mask.long().cumsum(dim=-1) - 1).clamp(min=0)

    # The same, piece by piece -----------------------------------------------------------------

    @_piece
    def ports(self, layer: int, resid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q [.., heads, d_head], k and v [.., kv heads, d_head] of a layer from the stream before it."""
        block = self._block(layer)
        x = block.ln1(resid)
        return self._heads(block.attn.q(x)), self._heads(block.attn.k(x)), self._heads(block.attn.v(x))

    @_piece
    def port(self, site: Site, resid: Tensor) -> Tensor:
        """One of the three: the site Q, K or V of a layer from the stream before it."""
        block = self._block(site.layer)
        return self._heads(getattr(block.attn, site.kind.value)(block.ln1(resid)))

    def weigh(
        self, layer: int, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, key_mask: Tensor
    ) -> Tensor:
        """Attention weights [batch, heads, queries, keys] in the model's precision; see `attention.weigh`."""
        return weigh(self.rules[layer], q, k, q_positions, k_positions, key_mask).to(self.dtype)

    @_piece
    def write(self, site: Site, activation: Tensor) -> Tensor:
        """What an activation at Z or NEURONS adds to the residual stream, post-norm included.

        Z is [.., heads, d_head], NEURONS [.., d_mlp]; the result is [.., d_model].
        """
        block = self._block(site.layer)
        if site.kind is SiteKind.Z:
            out = block.attn.o(activation.flatten(-2))
            return block.ln1_post(out) if self.shape.post_norm else out
        if site.kind is SiteKind.NEURONS:
            # Past TransformerLens' wrapper: that of OPT, whose hooks see all tokens in a row, would flatten the result.
            out = block.mlp.out.original_component(activation)
            return block.ln2_post(out) if self.shape.post_norm else out
        raise ModelError(f"{site} has no write of its own")

    @_piece
    def mlp_input(self, layer: int, resid: Tensor) -> Tensor:
        """What the MLP's first matrix reads, from the residual stream before its norm."""
        block = self._block(layer)
        # Some parallel blocks have one norm, which attention and MLP share.
        return (block.ln2 if "ln2" in block.submodules else block.ln1)(resid)

    @_piece
    def neurons(self, layer: int, mlp_input: Tensor) -> Tensor:
        """Neuron activations [.., d_mlp] from the normalised input."""
        mlp, caught = self._block(layer).mlp, []
        if mlp.name is None:
            # The matrices are the block's own (OPT): there is no module that could be called.
            first = getattr(mlp, "in").original_component
            return self._block(layer).original_component.activation_fn(first(mlp_input))
        point = mlp.out.hook_in
        handle = point.register_forward_hook(lambda _module, _args, output: caught.append(output))
        try:
            mlp(mlp_input)
        finally:
            handle.remove()
        return caught[0]

    @_piece
    def logits(self, resid: Tensor) -> Tensor:
        """Logits [.., vocab] from the final residual stream: final norm, unembedding, soft cap."""
        bridge = self._bridge
        out = bridge.unembed(bridge.ln_final(resid))
        return out if self._soft_cap is None else torch.tanh(out / self._soft_cap) * self._soft_cap

    @functools.cached_property
    def lean(self) -> Lean:
        """The same pieces without hook points."""
        return lean_of(self._bridge, self.shape, self._soft_cap)

    def _block(self, layer: int) -> Any:
        return self._bridge.blocks[layer]

    def _heads(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (-1, self._width))


def _clamp_to(dtype: torch.dtype) -> Callable[..., Any]:
    lowest = torch.finfo(dtype).min
    return lambda tensor, hook: tensor.clamp(min=lowest)  # noqa: ARG005 (TransformerLens passes it by name)


class _Enough(Exception):  # noqa: N818 (no error)
    """Everything that is asked for has been read."""


class _Collector:
    """The hooks of one run: apply writes, then keep reads, at each site.

    A write to RESID_MID is made by changing what attention adds: TransformerLens' own hook there
    feeds the MLP alone and leaves the residual stream as it was.
    """

    def __init__(
        self, model: TransformerModel, reads: tuple[Site, ...], writes: dict[Site, Write], unembed: bool
    ) -> None:
        self.model = model
        self.unembed = unembed
        self.wanted = reads
        self.writes = writes
        self.reads: dict[Site, Tensor] = {}
        self._parts: dict[Site, list[Dictionary]] = {}
        for name in sorted({site.sae for site in {*reads, *writes} if site.kind in PARTS}):
            if name not in model.dictionaries:
                raise ModelError(f"the model has no sparse autoencoder '{name}'")
            dictionary = model.dictionaries[name]
            self._parts.setdefault(dictionary.stream(model.shape.layers), []).append(dictionary)
        self._reached: set[Site] = set()
        self._before: dict[int, Tensor] = {}

    def hooks(self) -> list[tuple[str, Callable[..., Any]]]:
        sites = {site for site in (*self.wanted, *self.writes) if site.kind not in PARTS} | set(self._parts)
        mids = {site.layer for site in sites if site.kind is SiteKind.RESID_MID}
        sites = {site for site in sites if site.kind is not SiteKind.RESID_MID}
        sites |= {Site(kind, layer) for layer in mids for kind in (SiteKind.RESID_PRE, SiteKind.ATTN_OUT)}
        return [(hook_name(site), self._hook(site)) for site in sites]

    def _hook(self, site: Site) -> Callable[..., Any]:
        mid = Site(SiteKind.RESID_MID, site.layer)
        has_mid = mid in self.wanted or mid in self.writes or mid in self._parts

        def hook(tensor: Tensor, hook: Any) -> Tensor | None:  # noqa: ARG001 (TransformerLens passes it by name)
            if self.model._in_piece:
                return None
            new = self._apply(site, tensor)
            if has_mid and site.kind is SiteKind.RESID_PRE:
                self._before[site.layer] = new
            if has_mid and site.kind is SiteKind.ATTN_OUT:
                if site.layer not in self._before:
                    raise ModelError(f"the model never computed {Site(SiteKind.RESID_PRE, site.layer)}")
                before = self._before[site.layer]
                stream = before + new
                wanted = self._apply(mid, stream)
                self._keep(mid, wanted)
                # What is missing to the stream before, so that a stream of zeros is exactly that; and where nothing
                # was changed, exactly what attention wrote.
                new = new if wanted is stream else torch.where(wanted == stream, new, wanted - before)
            self._keep(site, new)
            if not self.unembed and site.kind is SiteKind.FINAL:
                raise _Enough
            return None if new is tensor else new

        return hook

    def _apply(self, site: Site, old: Tensor) -> Tensor:
        self._reached.add(site)
        new = self._written(site, old)
        for dictionary in self._parts.get(site, ()):
            new = self._taken_apart(site, dictionary, new)
        return new

    def _taken_apart(self, stream: Site, dictionary: Dictionary, x: Tensor) -> Tensor:
        """The stream with the writes to parts of it made; the parts are kept as they then are."""
        places = [Site(kind, stream.layer, dictionary.sae.name) for kind in PARTS]
        asked = {*self.wanted, *self.writes}
        new, *parts = dictionary.apply(
            x, *(functools.partial(self._written, place) if place in asked else None for place in places)
        )
        for place, part in zip(places, parts, strict=True):
            if part is not None:
                self._reached.add(place)
                self._keep(place, part)
        return new

    def _written(self, site: Site, old: Tensor) -> Tensor:
        if site not in self.writes:
            return old
        new = self.writes[site](old)
        if new.shape != old.shape or new.dtype != old.dtype:
            raise ModelError(f"a write to {site} changed {tuple(old.shape)} to {tuple(new.shape)}")
        return new

    def _keep(self, site: Site, value: Tensor) -> None:
        if site in self.wanted:
            # A copy: hook points of one block share storage.
            self.reads[site] = value.detach().clone()

    def check(self) -> None:
        missed = [str(site) for site in {*self.wanted, *self.writes} if site not in self._reached]
        if missed:
            raise ModelError(f"the model never computed {', '.join(sorted(missed))}")
