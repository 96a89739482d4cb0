"""The section of a spec that declares sparse autoencoders, whose features are nodes."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from circuitgraph.spec.kinds import Count, Flag, Section


class SaeKind(StrEnum):
    """How features are made of the encoder's matrix product (docs/saes.md)."""

    STANDARD = "standard"
    TOP_K = "top-k"
    JUMPRELU = "jumprelu"
    GATED = "gated"


class SaeSpec(Section):
    """A sparse autoencoder: `sae.NAME.f17` is a feature of it, `sae.NAME.error` what it does not reconstruct."""

    noun: ClassVar[str] = "a sparse autoencoder"

    file: str
    """Its weights: a `.safetensors` file, relative to the spec."""
    site: str
    """The residual stream it takes apart: `r2`, `r2.mid`, `input`."""
    kind: SaeKind | None = None
    """How it encodes; needed where the file does not say."""
    k: Count | None = None
    """How many features a top-k encoder keeps; needed where the file does not say."""
    apply_b_dec_to_input: Flag | None = None
    """Whether the encoder reads the stream less `b_dec`; needed for jumprelu, else yes, where the file does not say."""
