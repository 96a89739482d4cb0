"""Path patching written out with plain PyTorch hooks on a Hugging Face model: an oracle for the executors.

It knows transformers alone: nothing of circuitgraph and nothing of TransformerLens is imported. The three
stages are run as they are defined, one whole forward pass each, with every attention head (its z) and every
MLP (its neurons) frozen by hand in stage 2. Nodes are named as in circuitgraph: `a1.h2`, `a1`, `m1`, `m1.n7`,
`input` send; `a2.h3<q>`, `a2.kv1<k>`, `a2.h3`, `m2`, `r2`, `logits` receive.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# Norms and rotary tables are in float32 whatever the model's type, as in the bridge: the numbers are the same bit by
# bit. NeoX takes its eager softmax in float32 and TransformerLens does not; its sdpa softmax is in float64.
ATTENTION = {"gpt_neox": "sdpa", "gpt_neox_sequential": "sdpa"}
POST_NORM = ("gemma2", "gemma3_text")


@dataclass(frozen=True)
class Place:
    """Columns (all without `width`) of the input or output of a module: [pairs, tokens, columns]."""

    module: nn.Module
    side: str
    start: int = 0
    width: int | None = None

    @property
    def columns(self) -> slice:
        """The columns as an index."""
        return slice(self.start, None if self.width is None else self.start + self.width)


@dataclass(frozen=True)
class Edit:
    """Write `value`'s columns (whole tensor given) over a place; at one token per pair, or everywhere."""

    place: Place
    value: Tensor
    at: Sequence[int] | None = None

    def __call__(self, current: Tensor) -> Tensor:
        current = current.clone()
        if self.at is None:
            current[..., self.place.columns] = self.value[..., self.place.columns]
        else:
            for pair, token in enumerate(self.at):
                current[pair, token, self.place.columns] = self.value[pair, token, self.place.columns]
        return current


class PlainModel:
    """A Hugging Face model in float64, and where its nodes are read and written."""

    def __init__(self, directory: Path, attention: str = "eager") -> None:
        """Load a checkpoint; `attention` is transformers' name of an attention implementation."""
        from transformers import AutoModelForCausalLM

        self.model: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float64, attn_implementation=attention
        ).eval()
        config = self.model.config
        self.kind, self.heads = config.model_type, config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", self.heads)
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.parallel = self.kind in ("phi", "gptj") or getattr(config, "use_parallel_residual", False)
        match self.kind:
            case "gpt2" | "gptj":
                self.blocks, self.final = self.model.transformer.h, self.model.transformer.ln_f
            case "gpt_neox":
                self.blocks, self.final = self.model.gpt_neox.layers, self.model.gpt_neox.final_layer_norm
            case "opt":
                self.blocks, self.final = self.model.model.decoder.layers, self.model.model.decoder.final_layer_norm
            case "phi":
                self.blocks, self.final = self.model.model.layers, self.model.model.final_layernorm
            case _:
                self.blocks, self.final = self.model.model.layers, self.model.model.norm

    def with_own_keys_and_values(self) -> PlainModel:
        """The same function with a key and a value head for every query head: shared ones are copied."""
        expanded = copy.deepcopy(self)
        group = self.heads // self.kv_heads
        for block in expanded.blocks:
            attention = block.self_attn
            for projection in (attention.k_proj, attention.v_proj):
                rows = projection.weight.data.unflatten(0, (self.kv_heads, self.width))
                projection.weight = nn.Parameter(rows.repeat_interleave(group, dim=0).flatten(0, 1))
                if projection.bias is not None:
                    rows = projection.bias.data.unflatten(0, (self.kv_heads, self.width))
                    projection.bias = nn.Parameter(rows.repeat_interleave(group, dim=0).flatten())
            attention.num_key_value_groups = 1
        expanded.kv_heads = expanded.model.config.num_key_value_heads = self.heads
        return expanded

    def z(self, layer: int) -> Place:
        """What the heads of a layer found, one after the other: the input of the output projection."""
        block = self.blocks[layer]
        match self.kind:
            case "gpt2":
                return Place(block.attn.c_proj, "in")
            case "gpt_neox":
                return Place(block.attention.dense, "in")
            case "gptj":
                return Place(block.attn.out_proj, "in")
            case "opt":
                return Place(block.self_attn.out_proj, "in")
            case "phi":
                return Place(block.self_attn.dense, "in")
            case _:
                return Place(block.self_attn.o_proj, "in")

    def neurons(self, layer: int) -> Place:
        """The MLP's neurons: the input of its last matrix."""
        block = self.blocks[layer]
        match self.kind:
            case "gpt2":
                return Place(block.mlp.c_proj, "in")
            case "gpt_neox":
                return Place(block.mlp.dense_4h_to_h, "in")
            case "gptj":
                return Place(block.mlp.fc_out, "in")
            case "opt":
                return Place(block.fc2, "in")
            case "phi":
                return Place(block.mlp.fc2, "in")
            case _:
                return Place(block.mlp.down_proj, "in")

    def mlp_input(self, layer: int) -> Place:
        """What an MLP reads, after its norm."""
        block = self.blocks[layer]
        return Place(block.fc1 if self.kind == "opt" else block.mlp, "in")

    def residual(self, layer: int) -> Place:
        """The residual stream before a block; after the last one for the number of layers."""
        return Place(self.blocks[layer] if layer < len(self.blocks) else self.final, "in")

    def middle(self, layer: int) -> Place:
        """The residual stream between attention and MLP, to be read: a write here would reach the MLP alone."""
        block = self.blocks[layer]
        if self.parallel:
            raise ValueError("attention and MLP are parallel: there is nothing between them")
        match self.kind:
            case "gpt2":
                return Place(block.ln_2, "in")
            case "gemma2" | "gemma3_text":
                return Place(block.pre_feedforward_layernorm, "in")
            case "opt":
                return Place(block.final_layer_norm, "in")
            case _:
                return Place(block.post_attention_layernorm, "in")

    def attention_write(self, layer: int) -> Place:
        """What attention adds to the residual stream, after a norm of its own where there is one."""
        block = self.blocks[layer]
        return Place(block.post_attention_layernorm if self.kind in POST_NORM else self.z(layer).module, "out")

    def mlp_write(self, layer: int) -> Place:
        """What the MLP adds to the residual stream, after a norm of its own where there is one."""
        block = self.blocks[layer]
        return Place(block.post_feedforward_layernorm if self.kind in POST_NORM else self.neurons(layer).module, "out")

    def projected(self, layer: int, port: str, index: int) -> Place:
        """The query, key or value of one head, before rotary embedding."""
        block, w = self.blocks[layer], self.width
        match self.kind:
            case "gpt2":
                start = "qkv".index(port) * self.heads * w + index * w
                return Place(block.attn.c_attn, "out", start, w)
            case "gpt_neox":
                start = (3 * index + "qkv".index(port)) * w
                return Place(block.attention.query_key_value, "out", start, w)
            case _:
                attention = block.attn if self.kind == "gptj" else block.self_attn
                return Place(getattr(attention, f"{port}_proj"), "out", index * w, w)

    def sender(self, name: str) -> Place:
        """Where a node's output is replaced."""
        if name == "input":
            return Place(self.blocks[0], "in")
        kind, layer, part, index = re.fullmatch(r"([am])(\d+)(?:\.([hn])(\d+))?", name).groups()  # type: ignore[union-attr]
        whole = self.z(int(layer)) if kind == "a" else self.neurons(int(layer))
        if part is None:
            return whole
        w = self.width if part == "h" else 1
        return Place(whole.module, "in", int(index) * w, w)

    def receiver(self, name: str) -> list[Place]:
        """Where a node's input is written: one place per port."""
        if name == "logits":
            return [Place(self.final, "in")]
        if name[0] in "mr":
            layer = int(name[1:])
            return [self.mlp_input(layer) if name[0] == "m" else self.residual(layer)]
        layer, kind, index, ports = re.fullmatch(r"a(\d+)\.(h|kv)(\d+)(?:<([qkv,]+)>)?", name).groups()  # type: ignore[union-attr]
        places = [(port, self.projected(int(layer), port, int(index))) for port in (ports or "q,k,v").split(",")]
        if kind == "h" and self.kv_heads != self.heads and any(port != "q" for port, _ in places):
            raise ValueError("a query head's own keys and values need the model with_own_keys_and_values")
        return [place for _, place in places]

    def run(self, ids: Tensor, edits: Iterable[Edit] = (), keep: Iterable[Place] = ()) -> tuple[Tensor, dict]:
        """A forward pass with edits, applied in order; what was read at the places of `keep`, whole, after them."""
        hooks: dict[tuple[nn.Module, str], list[Edit]] = defaultdict(list)
        for edit in edits:
            hooks[edit.place.module, edit.place.side].append(edit)
        kept: dict[tuple[nn.Module, str], Tensor] = {}
        wanted = {(place.module, place.side) for place in keep}
        handles = []
        for key in {*hooks, *wanted}:

            def change(tensor: Tensor, key: tuple[nn.Module, str] = key) -> Tensor:
                # The MLPs of OPT see the tokens of all pairs in a row.
                shape, tensor = tensor.shape, tensor.reshape(*ids.shape, -1)
                for edit in hooks[key]:
                    tensor = edit(tensor)
                if key in wanted:
                    kept[key] = tensor.clone()
                return tensor.reshape(shape)

            module, side = key
            if side == "in":
                handles.append(
                    module.register_forward_pre_hook(lambda _, args, change=change: (change(args[0]), *args[1:]))
                )
            else:
                handles.append(module.register_forward_hook(lambda _, args, out, change=change: change(out)))
        try:
            with torch.no_grad():
                logits = self.model(input_ids=ids, use_cache=False).logits
        finally:
            for handle in handles:
                handle.remove()
        assert kept.keys() == wanted
        return logits, kept

    def patch_edge(
        self,
        base: Tensor,
        source: Tensor,
        sender: str,
        receiver: str,
        *,
        through_mlps: bool = False,
        sender_at: Sequence[int] | None = None,
        receiver_at: Sequence[int] | None = None,
    ) -> Tensor:
        """The patched logits. [pairs, tokens, vocab]"""
        sent, received = self.sender(sender), self.receiver(receiver)
        zs = [self.z(layer) for layer in range(len(self.blocks))]
        neurons = [self.neurons(layer) for layer in range(len(self.blocks))]
        # 1. Cache.
        _, at_base = self.run(base, keep=[*zs, *neurons, sent])
        _, at_source = self.run(source, keep=[sent])
        # 2. Isolate.
        frozen = [*zs, *(place for place in neurons if not through_mlps or place.module is sent.module)]
        freeze = [Edit(place, at_base[place.module, "in"]) for place in frozen]
        change = Edit(sent, at_source[sent.module, "in"], sender_at)
        _, recorded = self.run(base, [*freeze, change], keep=received)
        # 3. Propagate.
        write = [Edit(place, recorded[place.module, place.side], receiver_at) for place in received]
        logits, _ = self.run(base, write)
        return logits

    def patch_node(self, base: Tensor, source: Tensor, node: str, at: Sequence[int] | None = None) -> Tensor:
        """The logits with a node's output replaced and everything downstream free. [pairs, tokens, vocab]"""
        place = self.sender(node)
        _, at_source = self.run(source, keep=[place])
        logits, _ = self.run(base, [Edit(place, at_source[place.module, "in"], at)])
        return logits
