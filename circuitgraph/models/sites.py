"""The places in a model where activations are read and written, and TransformerLens' names for them.

Hook names appear in this file alone.

| site | shape | what it is |
|---|---|---|
| RESID_PRE(l) | batch, pos, d_model | residual stream entering block l |
| Q, K, V(l) | batch, pos, heads or kv heads, d_head | projections, before any rotation |
| PATTERN(l) | batch, heads, query, key | attention weights |
| Z(l) | batch, pos, heads, d_head | mixed values, before W_O |
| ATTN_OUT(l) | batch, pos, d_model | what attention adds to the residual stream |
| RESID_MID(l) | batch, pos, d_model | residual stream between attention and MLP (sequential blocks) |
| MLP_IN(l) | batch, pos, d_model | what the MLP's first matrix reads, after the norm |
| NEURONS(l) | batch, pos, d_mlp | what the MLP's last matrix reads |
| MLP_OUT(l) | batch, pos, d_model | what the MLP adds to the residual stream |
| FINAL | batch, pos, d_model | residual stream entering the final norm |
| EMBED | batch, pos, d_model | token embedding alone, without positions; read only |
| FEATURES(l, sae) | batch, pos, features | what a sparse autoencoder finds in the stream that it reads |
| SAE_ERROR(l, sae) | batch, pos, d_model | what it does not reconstruct of it |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from circuitgraph.graph.shape import ModelShape


class SiteKind(StrEnum):
    """The kinds of places."""

    RESID_PRE = "resid_pre"
    Q = "q"
    K = "k"
    V = "v"
    PATTERN = "pattern"
    Z = "z"
    ATTN_OUT = "attn_out"
    RESID_MID = "resid_mid"
    MLP_IN = "mlp_in"
    NEURONS = "neurons"
    MLP_OUT = "mlp_out"
    FINAL = "final"
    EMBED = "embed"
    FEATURES = "features"
    SAE_ERROR = "sae_error"


PARTS = (SiteKind.FEATURES, SiteKind.SAE_ERROR)
"""Places that sparse autoencoders add: parts of a residual stream, in whose layer they are."""


@dataclass(frozen=True, slots=True)
class Site:
    """A kind of place in one layer; FINAL and EMBED have none. `sae`: the autoencoder of FEATURES and SAE_ERROR."""

    kind: SiteKind
    layer: int = -1
    sae: str = ""

    def __str__(self) -> str:
        if self.sae:
            return f"{self.kind.value}({self.sae})"
        return self.kind.value if self.layer < 0 else f"{self.kind.value}({self.layer})"


_HOOKS: dict[SiteKind, str] = {
    SiteKind.RESID_PRE: "blocks.{}.hook_in",
    SiteKind.Q: "blocks.{}.attn.q.hook_out",
    SiteKind.K: "blocks.{}.attn.k.hook_out",
    SiteKind.V: "blocks.{}.attn.v.hook_out",
    SiteKind.PATTERN: "blocks.{}.attn.hook_pattern",
    SiteKind.Z: "blocks.{}.attn.o.hook_in",
    SiteKind.ATTN_OUT: "blocks.{}.hook_attn_out",
    SiteKind.MLP_IN: "blocks.{}.mlp.hook_in",
    SiteKind.NEURONS: "blocks.{}.mlp.out.hook_in",
    SiteKind.MLP_OUT: "blocks.{}.hook_mlp_out",
    SiteKind.FINAL: "ln_final.hook_in",
    SiteKind.EMBED: "embed.hook_out",
}


def hook_name(site: Site) -> str:
    """TransformerLens' name of a site. RESID_MID and PARTS have none that can be written: see `bridge`."""
    return _HOOKS[site.kind].format(site.layer)


def scores_hook_name(layer: int) -> str:
    """TransformerLens' name of the masked attention scores of a layer."""
    return f"blocks.{layer}.attn.hook_attn_scores"


def sites_of(shape: ModelShape, kinds: tuple[SiteKind, ...]) -> tuple[Site, ...]:
    """The sites of these kinds that a model of this shape has, in the order it computes them."""
    absent: set[SiteKind] = {*PARTS}
    if not shape.mlps:
        absent |= {SiteKind.MLP_IN, SiteKind.NEURONS, SiteKind.MLP_OUT}
    if not shape.mlps or shape.parallel:
        absent.add(SiteKind.RESID_MID)
    layered = [kind for kind in SiteKind if kind in kinds and kind not in absent and kind is not SiteKind.FINAL]
    found = tuple(Site(kind, layer) for layer in range(shape.layers) for kind in layered)
    return (*found, Site(SiteKind.FINAL)) if SiteKind.FINAL in kinds else found
