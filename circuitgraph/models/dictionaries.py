"""Sparse autoencoders in torch: encode a residual stream, and change features or the error in it.

    x = Σ_i f_i · W_dec[i] + b_dec + error            f = encode(x)

which holds for every x, as the error is what is missing. A change of features or of the error is added to x, so
that a stream of which nothing is changed stays as it is, to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from torch import Tensor

from circuitgraph.errors import ModelError
from circuitgraph.models.sae_files import TRANSPOSED, SaeFile
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import Input, Sae
from circuitgraph.spec.saes import SaeKind

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Dictionary:
    """A sparse autoencoder with its weights.

    Attributes:
        file: its kind and settings.
        weights: what a tensor is (W_enc [d_model, features], W_dec [features, d_model] …) → the tensor.
        sha256: of the file.
    """

    file: SaeFile
    weights: dict[str, Tensor]
    sha256: str

    @property
    def sae(self) -> Sae:
        """Its name, its stream and its width."""
        return self.file.sae

    def stream(self, layers: int) -> Site:
        """The site that it reads in a model of so many layers."""
        site = self.sae.site
        if isinstance(site, Input):
            return Site(SiteKind.RESID_PRE, 0)
        if site.layer == layers:
            return Site(SiteKind.FINAL)
        return Site(SiteKind.RESID_MID if site.mid else SiteKind.RESID_PRE, site.layer)

    def encode(self, x: Tensor) -> Tensor:
        """Feature activations [.., features] of a stream [.., d_model]."""
        w = self.weights
        x = x - w["b_dec"] if self.file.subtract else x
        pre = x @ w["W_enc"]
        match self.file.kind:
            case SaeKind.STANDARD:
                return torch.relu(pre + w["b_enc"])
            case SaeKind.TOP_K:
                strongest = (pre + w["b_enc"]).topk(self.file.k or 0, dim=-1)
                return torch.zeros_like(pre).scatter(-1, strongest.indices, torch.relu(strongest.values))
            case SaeKind.JUMPRELU:
                pre = pre + w["b_enc"]
                return torch.relu(pre) * (pre > w["threshold"])
            case SaeKind.GATED:
                open_ = pre + w["b_gate"] > 0
                return open_ * torch.relu(pre * torch.exp(w["r_mag"]) + w["b_mag"])

    def decode(self, features: Tensor) -> Tensor:
        """The stream [.., d_model] that features [.., features] reconstruct."""
        return features @ self.weights["W_dec"] + self.weights["b_dec"]

    def write(self, change: Tensor) -> Tensor:
        """What a change of features [.., features] adds to the stream; of those alone that change somewhere."""
        changed = (change != 0).flatten(0, -2).any(dim=0).nonzero().squeeze(-1)
        return change[..., changed] @ self.weights["W_dec"][changed]

    def apply(self, x: Tensor, features: Change | None, error: Change | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The stream after changes of features and error, and both as they then are; without `error`, no error.

        Both are taken from x before either is changed. x itself is returned where nothing changes.
        """
        f = self.encode(x)
        e = None if error is None else x - self.decode(f)
        new_f, new = (f if features is None else features(f)), x
        if new_f is not f and bool((new_f != f).any()):
            new = new + self.write(new_f - f)
        if e is None or error is None:
            return new, new_f, None
        new_e = error(e)
        return (new + (new_e - e) if bool((new_e != e).any()) else new), new_f, new_e


def load_dictionaries(files: Iterable[SaeFile], device: torch.device, dtype: torch.dtype) -> tuple[Dictionary, ...]:
    """Read the weights of sparse autoencoders.

    Raises:
        ModelError: a file cannot be read, or holds what is not finite; it is named with the tensor.
    """
    return tuple(_load(file, device, dtype) for file in files)


def _load(file: SaeFile, device: torch.device, dtype: torch.dtype) -> Dictionary:
    from safetensors.torch import load

    try:
        data = file.path.read_bytes()
        tensors = load(data)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file.path}: cannot be read: {error}") from error
    weights: dict[str, Tensor] = {}
    for role, name in file.tensors.items():
        tensor = tensors[name].T if name in TRANSPOSED else tensors[name]
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{file.path}: {name} holds NaN or infinity")
        weights[role] = tensor.to(device=device, dtype=dtype).contiguous()
        if not bool(torch.isfinite(weights[role]).all()):
            raise ModelError(f"{file.path}: {name} is too large for the model's {str(dtype).removeprefix('torch.')}")
    return Dictionary(file, weights, hashlib.sha256(data).hexdigest())
