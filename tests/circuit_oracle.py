"""A circuit as a whole, written out with the modules of a Hugging Face model: an oracle for `only` and `without`.

It knows transformers alone: nothing of circuitgraph and nothing of TransformerLens is imported. In one forward pass,
what each receiver reads, port by port, is the sum over all senders before it of either their write in this very pass
or a write that was given (of the other run, of zeros, of means). Biases of output projections of attention belong to
no head and are always added.

Senders are `input`, `a1.h2`, `m1`; receivers `a1.h2<q>`, `a1.h2<k>` (`a1.kv0<k>` where keys are shared), `m1` and
`logits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Swapped = Callable[[str, str], Tensor | bool]
"""(sender, receiver) → whether the sender's write is exchanged for it: at all tokens, or where [pairs, tokens]."""


class OracleModel:
    """A Hugging Face model in float64, taken apart."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModelForCausalLM

        self.model: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        config = self.model.config
        self.kind, self.heads = config.model_type, config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", self.heads)
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.parallel = getattr(config, "use_parallel_residual", False)
        match self.kind:
            case "gpt2":
                body = self.model.transformer
                self.blocks, self.final = body.h, body.ln_f
            case "gpt_neox":
                body = self.model.gpt_neox
                self.blocks, self.final = body.layers, body.final_layer_norm
            case _:
                body = self.model.model
                self.blocks, self.final = body.layers, body.norm
        self.body, self.head = body, self.model.get_output_embeddings()

    def run(
        self, ids: Tensor, swapped: Swapped = lambda _s, _r: False, given: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [pairs, tokens, vocab], and every sender's activation: see `write_of`."""
        with torch.no_grad():
            return _Pass(self, ids, swapped, given or {}).result()

    def embed(self, ids: Tensor) -> Tensor:
        """What enters block 0."""
        match self.kind:
            case "gpt2":
                return self.body.wte(ids) + self.body.wpe(torch.arange(ids.shape[1]))[None]
            case "gpt_neox":
                return self.body.embed_in(ids)
            case _:
                return self.body.embed_tokens(ids)

    def write_of(self, sender: str, activation: Tensor) -> Tensor:
        """What an activation adds to the residual stream: a head's z through its slice of the output projection."""
        if ".h" not in sender:
            return activation
        layer, head = (int(text) for text in sender[1:].split(".h"))
        columns = slice(head * self.width, (head + 1) * self.width)
        return activation @ self._output(layer)[0][:, columns].T

    def bias_of(self, layer: int) -> Tensor | float:
        """The bias of a layer's output projection."""
        bias = self._output(layer)[1]
        return 0.0 if bias is None else bias

    def _output(self, layer: int) -> tuple[Tensor, Tensor | None]:
        """Weight [width of the stream, heads · width of a head] and bias."""
        block = self.blocks[layer]
        match self.kind:
            case "gpt2":
                return block.attn.c_proj.weight.T, block.attn.c_proj.bias
            case "gpt_neox":
                return block.attention.dense.weight, block.attention.dense.bias
            case _:
                return block.self_attn.o_proj.weight, None

    def project(self, layer: int, port: str, index: int, stream: Tensor) -> Tensor:
        """Norm, then the query, key or value of one head, rotated where the family does."""
        block, w = self.blocks[layer], self.width
        match self.kind:
            case "gpt2":
                start = "qkv".index(port) * self.heads * w + index * w
                made = block.ln_1(stream) @ block.attn.c_attn.weight[:, start : start + w]
                made = made + block.attn.c_attn.bias[start : start + w]
            case "gpt_neox":
                start, dense = (3 * index + "qkv".index(port)) * w, block.attention.query_key_value
                made = block.input_layernorm(stream) @ dense.weight[start : start + w].T + dense.bias[start : start + w]
            case _:
                module = getattr(block.self_attn, f"{port}_proj")
                made = block.input_layernorm(stream) @ module.weight[index * w : (index + 1) * w].T
        return made if port == "v" or self.kind == "gpt2" else self._rotated(made)

    def _rotated(self, x: Tensor) -> Tensor:
        cos, sin = self.body.rotary_emb(x, torch.arange(x.shape[1])[None])
        turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
        first, second = turned.chunk(2, dim=-1)
        return torch.cat([turned * cos + torch.cat([-second, first], dim=-1) * sin, rest], dim=-1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """z of one head: causal softmax attention. All [pairs, tokens, width]."""
        tokens = q.shape[1]
        scores = q @ k.transpose(1, 2) * self.width**-0.5
        later = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
        dtype = torch.float32 if self.kind == "llama" else torch.float64  # as the families do
        return torch.softmax(scores, dim=-1, dtype=dtype).double() @ v

    def mlp(self, layer: int, stream: Tensor) -> Tensor:
        """Norm, then the MLP's write."""
        block = self.blocks[layer]
        return block.mlp((block.ln_2 if self.kind == "gpt2" else block.post_attention_layernorm)(stream))


class _Pass:
    """One forward pass."""

    def __init__(self, model: OracleModel, ids: Tensor, swapped: Swapped, given: Mapping[str, Tensor]) -> None:
        self._model, self._ids, self._swapped, self._given = model, ids, swapped, given
        self._found: dict[str, Tensor] = {}
        self._biases: list[Tensor | float] = []

    def result(self) -> tuple[Tensor, dict[str, Tensor]]:
        model = self._model
        self._found["input"] = model.embed(self._ids)
        for layer in range(len(model.blocks)):
            zs = self._attention(layer)
            beside = model.mlp(layer, self._read(f"m{layer}")) if model.parallel else None
            self._found.update(zs)
            self._biases.append(model.bias_of(layer))
            self._found[f"m{layer}"] = model.mlp(layer, self._read(f"m{layer}")) if beside is None else beside
        return model.head(model.final(self._read("logits"))), self._found

    def _attention(self, layer: int) -> dict[str, Tensor]:
        model = self._model
        shared = "kv" if model.kv_heads < model.heads else "h"
        keys, values = (
            [
                model.project(layer, port, index, self._read(f"a{layer}.{shared}{index}<{port}>"))
                for index in range(model.kv_heads)
            ]
            for port in "kv"
        )
        found = {}
        for head in range(model.heads):
            q = model.project(layer, "q", head, self._read(f"a{layer}.h{head}<q>"))
            group = head * model.kv_heads // model.heads
            found[f"a{layer}.h{head}"] = model.attend(q, keys[group], values[group])
        return found

    def _read(self, receiver: str) -> Tensor:
        """The residual stream as a receiver has it."""
        total: Any = sum(self._biases)
        for sender, current in self._found.items():
            write = self._model.write_of(sender, current)
            exchanged = self._swapped(sender, receiver)
            if exchanged is not False:
                other = self._model.write_of(sender, self._given[sender].expand_as(current))
                write = other if exchanged is True else torch.where(exchanged[..., None], other, write)
            total = total + write
        return total
