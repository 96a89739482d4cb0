"""The pieces of a model without hook points: the same modules and weights, called directly.

TransformerLens computes norms step by step so that each step can be hooked, and catches the neurons of an MLP with
a hook. Where nothing is hooked that is time lost. `proofs.prove` checks at load that these pieces compose to the
model's logits; the literal executor never uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from circuitgraph.errors import ModelError
from circuitgraph.graph.shape import ModelShape

Map = Callable[[Tensor], Tensor]
"""[.., a] → [.., b], row by row."""

_ACTIVATIONS = ("act", "act_fn", "activation_fn")
"""What families call the activation function of an MLP."""
# Written out in several steps by transformers; here in one. Equal but for rounding.
_IN_ONE_STEP: dict[str, Map] = {
    "NewGELUActivation": partial(functional.gelu, approximate="tanh"),
    "GELUActivation": functional.gelu,
}


@dataclass(frozen=True)
class LeanMLP:
    """One MLP: `norm` from the residual stream, `neurons` from its value, `down` from the neurons.

    Attributes:
        weight: of `down`, [d_mlp, d_model].
        post: what is applied before the result is added to the residual stream.
    """

    norm: Map
    neurons: Map
    down: Map
    weight: Tensor
    post: Map | None

    def write(self, neurons: Tensor) -> Tensor:
        """What neurons [.., d_mlp] add to the residual stream [.., d_model]."""
        out = self.down(neurons)
        return out if self.post is None else self.post(out)

    def __call__(self, stream: Tensor) -> Tensor:
        """What the MLP adds to the residual stream, from the stream that it reads. [.., d_model]"""
        return self.write(self.neurons(self.norm(stream)))


@dataclass(frozen=True)
class LeanAttention:
    """One attention layer but for the mixing: `norm` from the stream, q, k and v from its value, `out` from z.

    Attributes:
        weight: of `out`, by head [heads, d_head, d_model].
        inputs: the weights of `q`, `k` and `v` [d_model, heads or kv heads, d_head].
        post: what is applied before the result is added to the residual stream.
    """

    norm: Map
    q: Map
    k: Map
    v: Map
    out: Map
    weight: Tensor
    inputs: Mapping[str, Tensor]
    post: Map | None

    def ports(self, stream: Tensor, names: str) -> dict[str, Tensor]:
        """The projections that `names` ("qkv", "q" …) asks for, [.., heads or kv heads, d_head]."""
        read, width = self.norm(stream), self.weight.shape[1]
        return {name: getattr(self, name)(read).unflatten(-1, (-1, width)) for name in names}

    def write(self, z: Tensor) -> Tensor:
        """What z [.., heads, d_head] adds to the residual stream [.., d_model]."""
        out = self.out(z.flatten(-2))
        return out if self.post is None else self.post(out)


@dataclass(frozen=True)
class Lean:
    """All blocks; `final` is the norm before the unembedding [vocab, d_model] with its bias [vocab] or None."""

    attention: tuple[LeanAttention, ...]
    mlps: tuple[LeanMLP, ...]
    final: Map
    unembedding: Tensor
    bias: Tensor | None
    soft_cap: float | None

    def logits(self, normed: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Logits from what `final` gives.

        Args:
            normed: [pairs, .., d_model].
            tokens: [pairs, columns] of the vocabulary for each pair; None = all of it.

        Returns:
            [pairs, .., columns or vocab]
        """
        if tokens is None:
            found = functional.linear(normed, self.unembedding, self.bias)
        else:
            flat = normed.flatten(1, -2)
            found = flat @ self.unembedding[tokens].transpose(1, 2)
            if self.bias is not None:
                found = found + self.bias[tokens][:, None]
            found = found.unflatten(1, normed.shape[1:-1])
        return found if self.soft_cap is None else torch.tanh(found / self.soft_cap) * self.soft_cap


def lean_of(bridge: Any, shape: ModelShape, soft_cap: float | None) -> Lean:
    """The pieces of a bridge.

    Raises:
        ModelError: a part is none of the modules whose computation is known.
    """
    blocks = list(bridge.blocks)
    unembedding = _bare(bridge.unembed)
    return Lean(
        attention=tuple(_attention(block, shape) for block in blocks),
        mlps=tuple(_mlp(block, shape) for block in blocks) if shape.mlps else (),
        final=_norm(bridge.ln_final),
        unembedding=unembedding.weight,
        bias=_bias(unembedding),
        soft_cap=soft_cap,
    )


def _attention(block: Any, shape: ModelShape) -> LeanAttention:
    q, k, v, out = (_linear(getattr(block.attn, name)) for name in ("q", "k", "v", "o"))
    weight = _matrix(_bare(block.attn.o)).unflatten(0, (shape.heads, -1))
    width = weight.shape[1]
    inputs = {name: _matrix(_bare(getattr(block.attn, name))).unflatten(1, (-1, width)) for name in ("q", "k", "v")}
    return LeanAttention(
        _norm(block.ln1), q, k, v, out, weight, inputs, _norm(block.ln1_post) if shape.post_norm else None
    )


def _mlp(block: Any, shape: ModelShape) -> LeanMLP:
    mlp = block.mlp
    up, down = (_linear(getattr(mlp, name)) for name in ("in", "out"))
    gate = _linear(mlp.gate) if hasattr(mlp, "gate") else None
    original = mlp.original_component
    activation = _activation(original, next(original.parameters()).dtype)
    between = getattr(original, "ln", None)  # SoLU models normalise between activation and output.

    def neurons(read: Tensor) -> Tensor:
        if gate is not None:
            return activation(gate(read)) * up(read)
        found = activation(up(read))
        return found if between is None else between(found)

    # Some parallel blocks have one norm, which attention and MLP share.
    norm = _norm(block.ln2 if "ln2" in block.submodules else block.ln1)
    post = _norm(block.ln2_post) if shape.post_norm else None
    return LeanMLP(norm, neurons, down, _matrix(_bare(mlp.out)), post)


def _activation(original: Any, dtype: torch.dtype) -> Map:
    found: Map | None = next((f for name in _ACTIVATIONS if (f := getattr(original, name, None)) is not None), None)
    if found is None:
        raise ModelError(f"{type(original).__name__} has no activation function that is known")
    # In half precision the steps round one by one: what the model itself does is kept.
    exact = dtype in (torch.float32, torch.float64)
    return _IN_ONE_STEP.get(type(found).__name__, found) if exact else found


def _linear(component: Any) -> Map:
    module = _bare(component)
    weight, bias = _matrix(module), _bias(module)
    return lambda x: functional.linear(x, weight.T, bias)


def _matrix(module: Any) -> Tensor:
    """[inputs, outputs], a view."""
    if isinstance(module, nn.Linear):
        return module.weight.T
    if type(module).__name__ == "Conv1D":
        return module.weight
    raise ModelError(f"{type(module).__name__} is no linear map that is known")


def _bias(module: Any) -> Tensor | None:
    """The bias, if it does anything: TransformerLens adds one of zeros to an unembedding that has none."""
    bias = getattr(module, "bias", None)
    return bias if bias is not None and bool(bias.any()) else None


def _bare(component: Any) -> Any:
    """The module that a component of TransformerLens wraps."""
    inner = getattr(component, "original_component", None)
    return component if inner is None else _bare(inner)


def _norm(component: Any) -> Map:
    """A norm as TransformerLens computes it: by the family's own module, or from its weights."""
    module = _bare(component)
    own = getattr(component, "use_native_layernorm_autograd", True) or getattr(
        component.config, "layer_norm_folding", False
    )
    if isinstance(module, nn.Identity) or own:
        return module
    eps = float(getattr(component.config, "eps", 1e-5))
    weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))  # some toys' norms have neither
    if component.uses_rms_norm and component.uses_weight_offset and weight is not None:
        weight = 1.0 + weight
    if component.uses_rms_norm:
        return lambda x: functional.rms_norm(x, x.shape[-1:], weight, eps)
    return lambda x: functional.layer_norm(x, x.shape[-1:], weight, bias, eps)
