"""What a node experiment must give, computed apart from circuitgraph, in float64.

Two oracles with one face. Checkpoints of Hugging Face run in transformers with plain hooks (see plain_hooks),
toys of TransformerLens' layout in a forward pass written out below. Nothing of circuitgraph and nothing of
TransformerLens is imported.

| node | its activation, always [batch, pos, columns] |
|---|---|
| `input`, `r1`, `r1.mid` | residual stream before block 0, before block 1, between the halves of block 1 |
| `a1.h2`, `a1` | z: the mixed values before W_O of one head, of all heads one after the other |
| `m1` | what the MLP adds to the residual stream, bias and a norm of its own included |
| `m1.n5` | what the MLP's last matrix reads; one column |
| `a1.h2<q>`, `<k>`, `<v>` | projections before rotation; several ports one after the other in the order q, k, v |
| `a1.kv1<k>`, `<v>` | the same shared by a group of query heads; `a1.h2<k>` is then that head's view alone |
| `a1.h2<pattern>` | attention weights of one head: pos is the query, columns are the keys |
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tests.plain_hooks import ATTENTION, Edit, Place, PlainModel
from tests.tiny import FAMILIES, GROUPED, PARALLEL


class NodeOracle(Protocol):
    """Runs of a model with one node replaced, everything downstream free."""

    def logits(self, ids: Tensor) -> Tensor:
        """The logits of an unpatched run. [batch, pos, vocab]"""
        ...

    def value(self, ids: Tensor, node: str) -> Tensor:
        """The node's activation in an unpatched run. [batch, pos, columns]"""
        ...

    def patched(self, ids: Tensor, node: str, value: Tensor, at: Sequence[int] | None = None) -> Tensor:
        """The logits with `value` written over the node, at one token per row or everywhere. [batch, pos, vocab]"""
        ...

    def pruned(self, ids: Tensor, nodes: Sequence[str]) -> Tensor:
        """The logits of a copy of the model in which the weights that nodes write with are zero. [batch, pos, vocab]

        The slice of W_O for a head, all of it for `a1`; all of W_out for `m1`, a row for a neuron. Biases stay.
        """
        ...


def oracle_of(family: str, directory: Path) -> NodeOracle:
    """The oracle for a tiny checkpoint."""
    if family.startswith("tl_"):
        return PlainTransformer.load(directory)
    return HuggingFaceOracle(directory, ATTENTION.get(family, "eager"))


def nodes_of(family: str) -> tuple[str, ...]:
    """A node of every kind that a tiny family has; the neuron is one that fires in all of them."""
    if family not in FAMILIES:
        raise ValueError(family)
    nodes = ["input", "r1", "r3", "a1", "a1.h2", "a1.h2<q>", "a1.h2<k>", "a1.h2<v>", "a1.h2<q,k,v>", "a1.h2<pattern>"]
    if family in GROUPED:
        nodes += ["a1.kv1<k>", "a1.kv1<v>", "a1.kv1<k,v>"]
    if family != "tl_attention_only":
        nodes += ["m1", "m1.n5"]
        if family not in PARALLEL:
            nodes += ["r0.mid", "r1.mid"]
    return tuple(nodes)


def prunable_nodes_of(family: str) -> tuple[str, ...]:
    """A node of every kind that a tiny family has and that can be pruned."""
    return tuple(node for node in nodes_of(family) if node in ("a1", "a1.h2", "m1", "m1.n5"))


@dataclass(frozen=True)
class Name:
    """A node's name, taken apart."""

    kind: str
    part: str
    layer: int
    index: int
    ports: tuple[str, ...]

    @classmethod
    def read(cls, node: str) -> Name:
        """From text; `input` is the residual stream before block 0."""
        found = re.fullmatch(
            r"(?P<kind>[amr])(?P<layer>\d+)(?:\.(?P<part>h|kv|n|mid)(?P<index>\d*))?"
            r"(?:<(?P<ports>pattern|[qkv](?:,[qkv])*)>)?",
            "r0" if node == "input" else node,
        )
        if found is None:
            raise ValueError(f"no node: {node}")
        ports = tuple(found["ports"].split(",")) if found["ports"] else ()
        return cls(found["kind"], found["part"] or "", int(found["layer"]), int(found["index"] or 0), ports)


class HuggingFaceOracle:
    """Plain hooks on a Hugging Face model."""

    def __init__(self, directory: Path, attention: str = "eager") -> None:
        """Load a checkpoint; `attention` is transformers' name of an attention implementation."""
        self.plain = PlainModel(directory, attention)

    @cached_property
    def own(self) -> PlainModel:
        """The same function with a key and a value head for every query head."""
        return self.plain if self.plain.kv_heads == self.plain.heads else self.plain.with_own_keys_and_values()

    def logits(self, ids: Tensor) -> Tensor:
        """See NodeOracle."""
        return self.plain.run(ids)[0]

    def value(self, ids: Tensor, node: str) -> Tensor:
        """See NodeOracle."""
        name = Name.read(node)
        if name.ports == ("pattern",):
            return self._pattern(ids, name)
        model, places = self._places(name)
        _, kept = model.run(ids, keep=places)
        return torch.cat([kept[place.module, place.side][..., place.columns] for place in places], dim=-1)

    def patched(self, ids: Tensor, node: str, value: Tensor, at: Sequence[int] | None = None) -> Tensor:
        """See NodeOracle."""
        name = Name.read(node)
        model, places = self._places(name)
        if name.ports == ("pattern",):
            # What the head then finds: its values, which no pattern of its layer touches, weighed anew.
            value = value @ self._read(ids, self._values(name))
        if name.part == "mid":
            # The block adds to its own input: attention must write what is missing, or only the MLP would see it.
            value = value - self._read(ids, model.residual(name.layer))
            places = [model.attention_write(name.layer)]
        parts = value.chunk(len(places), dim=-1)
        # An edit takes its place's columns out of a whole tensor.
        edits = [
            Edit(place, nn.functional.pad(part, (place.start, 0)), at)
            for place, part in zip(places, parts, strict=True)
        ]
        return model.run(ids, edits)[0]

    def pruned(self, ids: Tensor, nodes: Sequence[str]) -> Tensor:
        """See NodeOracle."""
        pruned = copy.deepcopy(self.plain)
        for node in nodes:
            if Name.read(node).kind not in "am" or Name.read(node).ports:
                raise ValueError(f"{node} has no weights of its own to write with")
            place = pruned.sender(node)
            weight: Any = place.module.weight
            # GPT-2's Conv1D keeps its matrix as [in, out].
            (weight.data.T if isinstance(place.module, nn.Linear) else weight.data)[place.columns] = 0
        return pruned.run(ids)[0]

    def _places(self, name: Name) -> tuple[PlainModel, list[Place]]:
        """The model a node exists in and where its columns are."""
        plain = self.plain
        match name.kind, name.part, name.ports:
            case "r", "", ():
                return plain, [plain.residual(name.layer)]
            case "r", "mid", ():
                return plain, [plain.middle(name.layer)]
            case "m", "", ():
                return plain, [plain.mlp_write(name.layer)]
            case ("m", "n", ()) | ("a", "", ()):
                return plain, [plain.sender(f"{name.kind}{name.layer}" + (f".n{name.index}" if name.part else ""))]
            case "a", "h", () | ("pattern",):
                return plain, [plain.sender(f"a{name.layer}.h{name.index}")]
            case "a", "h", ports:
                model = plain if ports == ("q",) else self.own
                return model, [model.projected(name.layer, port, name.index) for port in ports]
            case "a", "kv", ports if ports and "q" not in ports:
                return plain, [plain.projected(name.layer, port, name.index) for port in ports]
            case _:
                raise ValueError(f"no node: {name}")

    def _values(self, name: Name) -> Place:
        """The values that a query head mixes."""
        return self.plain.projected(name.layer, "v", name.index * self.plain.kv_heads // self.plain.heads)

    def _read(self, ids: Tensor, place: Place) -> Tensor:
        return self.plain.run(ids, keep=[place])[1][place.module, place.side][..., place.columns]

    def _pattern(self, ids: Tensor, name: Name) -> Tensor:
        """What a head finds when the value at each token is a unit vector of that token's own: its weights.

        A run tells the weights of as many tokens as values have columns. Mask, rotation, caps and the softmax
        are the model's own.
        """
        values, found = self._values(name), self.plain.sender(f"a{name.layer}.h{name.index}")
        seen = []
        for units in torch.eye(ids.shape[1], dtype=torch.float64).split(self.plain.width, dim=1):
            whole = nn.functional.pad(units, (values.start, self.plain.width - units.shape[1]))
            _, kept = self.plain.run(ids, [Edit(values, whole.expand(len(ids), -1, -1))], keep=[found])
            seen.append(kept[found.module, found.side][..., found.columns][..., : units.shape[1]])
        return torch.cat(seen, dim=-1)


Tap = Callable[[str, Tensor], Tensor]


class PlainTransformer:
    """A toy of TransformerLens' layout, written out: learned positions, ReLU, LayerNorm or no norm at all."""

    def __init__(self, config: dict[str, Any], state: dict[str, Tensor]) -> None:
        """From the fields of a HookedTransformerConfig and the weights by their names there."""
        unlike = {
            field: config[field]
            for field, known in {
                "act_fn": ["relu"],
                "normalization_type": ["LN", None],
                "positional_embedding_type": ["standard"],
                "attention_dir": ["causal", "bidirectional"],
            }.items()
            if config[field] not in known
        }
        if unlike:
            raise ValueError(f"not written out here: {unlike}")
        self.config = config
        self.state = {name: weight.double() for name, weight in state.items()}

    @classmethod
    def load(cls, directory: Path) -> PlainTransformer:
        """From a directory with config.json and model.safetensors."""
        from safetensors.torch import load_file

        return cls(json.loads((directory / "config.json").read_text()), load_file(directory / "model.safetensors"))

    def forward(self, ids: Tensor, tap: Tap = lambda _, tensor: tensor) -> Tensor:
        """Logits [batch, pos, vocab]; every activation passes through `tap(site, activation)`.

        Sites are r0, a0<q>, a0<k>, a0<v> [batch, pos, heads · d_head], a0<pattern> [batch, heads, query, key],
        a0 (all z), r0.mid, m0.n (all neurons), m0, and so on; without MLPs those of the MLP and the middle are
        absent.
        """
        config, state = self.config, self.state
        tokens = ids.shape[1]
        future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        stream = state["embed.W_E"][ids] + state["pos_embed.W_pos"][:tokens]
        for layer in range(config["n_layers"]):
            stream = tap(f"r{layer}", stream)

            def weight(name: str, layer: int = layer) -> Tensor:
                return state[f"blocks.{layer}.{name}"]

            read = self._norm(stream, f"blocks.{layer}.ln1")
            heads = {}
            for port in "qkv":
                projected = torch.einsum("bpm,hmd->bphd", read, weight(f"attn.W_{port.upper()}"))
                projected = projected + weight(f"attn.b_{port.upper()}")
                heads[port] = tap(f"a{layer}<{port}>", projected.flatten(2)).unflatten(2, (config["n_heads"], -1))
            scores = torch.einsum("bqhd,bkhd->bhqk", heads["q"], heads["k"]) / config["attn_scale"]
            if config["attention_dir"] == "causal":
                scores = scores.masked_fill(future, -torch.inf)
            pattern = tap(f"a{layer}<pattern>", scores.softmax(dim=-1))
            z = tap(f"a{layer}", torch.einsum("bhqk,bkhd->bqhd", pattern, heads["v"]).flatten(2))
            stream = stream + z @ weight("attn.W_O").flatten(0, 1) + weight("attn.b_O")
            if not config["attn_only"]:
                stream = tap(f"r{layer}.mid", stream)
                read = self._norm(stream, f"blocks.{layer}.ln2")
                neurons = tap(f"m{layer}.n", (read @ weight("mlp.W_in") + weight("mlp.b_in")).relu())
                stream = stream + tap(f"m{layer}", neurons @ weight("mlp.W_out") + weight("mlp.b_out"))
        stream = tap(f"r{config['n_layers']}", stream)
        return self._norm(stream, "ln_final") @ state["unembed.W_U"] + state["unembed.b_U"]

    def logits(self, ids: Tensor) -> Tensor:
        """See NodeOracle."""
        return self.forward(ids)

    def value(self, ids: Tensor, node: str) -> Tensor:
        """See NodeOracle."""
        views = self._views(Name.read(node))
        seen: dict[str, Tensor] = {}

        def tap(site: str, tensor: Tensor) -> Tensor:
            if site in views:
                seen[site] = tensor[views[site]].clone()
            return tensor

        self.forward(ids, tap)
        return torch.cat([seen[site] for site in views], dim=-1)

    def patched(self, ids: Tensor, node: str, value: Tensor, at: Sequence[int] | None = None) -> Tensor:
        """See NodeOracle."""
        views = self._views(Name.read(node))
        parts = dict(zip(views, value.chunk(len(views), dim=-1), strict=True))

        def tap(site: str, tensor: Tensor) -> Tensor:
            if site not in views:
                return tensor
            tensor, part = tensor.clone(), parts.pop(site)
            view = tensor[views[site]]
            for row in range(len(ids)):
                tokens = slice(None) if at is None else at[row]
                view[row, tokens] = part[row, tokens]
            return tensor

        logits = self.forward(ids, tap)
        if parts:
            raise ValueError(f"the model never computed {', '.join(parts)}")
        return logits

    def pruned(self, ids: Tensor, nodes: Sequence[str]) -> Tensor:
        """See NodeOracle."""
        copied = PlainTransformer(self.config, {name: weight.clone() for name, weight in self.state.items()})
        for name in map(Name.read, nodes):
            match name.kind, name.part, name.ports:
                case "a", "" | "h", ():
                    weight = copied.state[f"blocks.{name.layer}.attn.W_O"]
                case "m", "" | "n", ():
                    weight = copied.state[f"blocks.{name.layer}.mlp.W_out"]
                case _:
                    raise ValueError(f"no weights of its own to write with: {name}")
            weight[name.index if name.part else slice(None)] = 0
        return copied.forward(ids)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        if self.config["normalization_type"] is None:
            return x
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.pow(2).mean(dim=-1, keepdim=True)
        return centred / (variance + self.config["eps"]).sqrt() * self.state[f"{name}.w"] + self.state[f"{name}.b"]

    def _views(self, name: Name) -> dict[str, tuple[Any, ...]]:
        """The sites a node is a part of, and which part of each, with basic slices: [batch, pos, columns]."""
        width = self.config["d_head"]
        columns = slice(name.index * width, (name.index + 1) * width)
        match name.kind, name.part, name.ports:
            case ("r", "", ()) | ("a", "", ()) | ("m", "", ()):
                return {f"{name.kind}{name.layer}": (...,)}
            case "r", "mid", ():
                return {f"r{name.layer}.mid": (...,)}
            case "m", "n", ():
                return {f"m{name.layer}.n": (..., slice(name.index, name.index + 1))}
            case "a", "h", ():
                return {f"a{name.layer}": (..., columns)}
            case "a", "h", ("pattern",):
                return {f"a{name.layer}<pattern>": (slice(None), name.index)}
            case "a", "h" | "kv", ports if ports and (name.part == "h" or "q" not in ports):
                return {f"a{name.layer}<{port}>": (..., columns) for port in ports}
            case _:
                raise ValueError(f"no node: {name}")
