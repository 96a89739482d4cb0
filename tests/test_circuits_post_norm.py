"""Circuits as a whole where outputs are normalised before they are added (Gemma 2), written out with its own modules.

Of a layer's heads, those whose edge to a receiver is exchanged are changed together, then the norm is taken: what one
head writes there depends on the others. Scores and logits are soft-capped, every other layer has a window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitgraph.graph.claims import Counterfactual, Zero
from circuitgraph.graph.partition import Circuit
from circuitgraph.plans.circuits import only, without
from circuitgraph.spec.model import BaseRun
from tests.circuits import EVERYWHERE, MIXED, measure_circuits, random_circuit
from tests.tiny import random_prompts

PROMPTS = random_prompts(pairs=3, length=6)
CLEAN, CORRUPTED = (
    torch.tensor([pair.clean if side is BaseRun.CLEAN else pair.corrupted for pair in PROMPTS.pairs])
    for side in BaseRun
)
Mask = Callable[[str, str], Tensor]
"""(sender, receiver) → the tokens [pairs, tokens] at which the edge carries the sender's current activation."""


class Gemma:
    """Transformers' own Gemma 2 in float64, taken apart."""

    def __init__(self, directory: Any) -> None:
        from transformers import AutoModelForCausalLM

        self.model: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        self.body, self.config = self.model.model, self.model.config
        self.heads, self.width = self.config.num_attention_heads, self.config.head_dim

    @torch.no_grad()
    def run(
        self, ids: Tensor, current: Mask, given: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and every sender's activation: z of a head, else what is written."""
        found = {"input": self.model.get_input_embeddings()(ids) * self._embedding_scale()}

        def read(receiver: str) -> Tensor:
            def seen(sender: str) -> Tensor:
                if given is None:
                    return found[sender]
                return torch.where(current(sender, receiver)[..., None], found[sender], given[sender])

            total = seen("input")
            for layer, block in enumerate(self.body.layers):
                if f"a{layer}.h0" in found:
                    z = torch.cat([seen(f"a{layer}.h{head}") for head in range(self.heads)], dim=-1)
                    total = total + block.post_attention_layernorm(block.self_attn.o_proj(z))
                if f"m{layer}" in found:
                    total = total + seen(f"m{layer}")
            return total

        for layer, block in enumerate(self.body.layers):
            found |= self._attention(layer, block, read)
            inner = block.mlp(block.pre_feedforward_layernorm(read(f"m{layer}")))
            found[f"m{layer}"] = block.post_feedforward_layernorm(inner)
        cap = self.config.final_logit_softcapping
        return torch.tanh(self.model.lm_head(self.body.norm(read("logits"))) / cap) * cap, found

    def _embedding_scale(self) -> float:
        """1 where the embedding module scales by itself, as newer versions of transformers do."""
        probe = torch.zeros(1, 1, dtype=torch.long)
        seen = []
        hook = self.body.layers[0].register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        self.model(probe)
        hook.remove()
        return float((seen[0] / self.model.get_input_embeddings()(probe)).mean())

    def _attention(self, layer: int, block: Any, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
        found, shared = {}, self.config.num_key_value_heads
        for head in range(self.heads):
            group = head * shared // self.heads
            q = self._project(block, "q", head, read(f"a{layer}.h{head}<q>"))
            k = self._project(block, "k", group, read(f"a{layer}.kv{group}<k>"))
            v = self._project(block, "v", group, read(f"a{layer}.kv{group}<v>"))
            scores = q @ k.transpose(1, 2) * self.config.query_pre_attn_scalar**-0.5
            cap = self.config.attn_logit_softcapping
            distance = torch.arange(q.shape[1])[:, None] - torch.arange(q.shape[1])[None]
            hidden = distance < 0
            if self.config.layer_types[layer] == "sliding_attention":
                hidden = hidden | (distance >= self.config.sliding_window)
            scores = (torch.tanh(scores / cap) * cap).masked_fill(hidden, -torch.inf)
            found[f"a{layer}.h{head}"] = torch.softmax(scores, dim=-1, dtype=torch.float32).double() @ v
        return found

    def _project(self, block: Any, port: str, index: int, stream: Tensor) -> Tensor:
        made = getattr(block.self_attn, f"{port}_proj")(block.input_layernorm(stream))
        made = made[..., index * self.width : (index + 1) * self.width]
        if port == "v":
            return made
        cos, sin = self.body.rotary_emb(stream, torch.arange(stream.shape[1])[None])
        first, second = made.chunk(2, dim=-1)
        return made * cos + torch.cat([-second, first], dim=-1) * sin


def inside(circuit: Circuit, *, outside: bool = False) -> Mask:
    """Where edges belong to a circuit, or to all the rest."""
    names = {(str(e.sender), str(e.target)): at for e, at in circuit.items()}

    def mask(sender: str, receiver: str) -> Tensor:
        at = names.get((sender, receiver))
        found = torch.full(CLEAN.shape, at == ())
        for position in at or ():
            for row, pair in enumerate(PROMPTS.pairs):
                found[row, pair.index(position)] = True
        return ~found if outside else found

    return mask


def logit_diff(logits: Tensor) -> NDArray[np.float64]:
    pairs = zip(logits[:, -1], PROMPTS.pairs, strict=True)
    return np.array([float(row[list(p.answers)].mean() - row[list(p.wrong_answers)].mean()) for row, p in pairs])


@pytest.mark.parametrize("positions", [EVERYWHERE, MIXED], ids=["everywhere", "at positions"])
@pytest.mark.parametrize("seed", [0, 1])
def test_circuits_of_gemma_2(tiny_model, checkpoint, seed, positions):
    oracle, model = Gemma(checkpoint("gemma2")), tiny_model("gemma2")
    circuit = random_circuit(model.shape, seed, positions)
    _, other = oracle.run(CORRUPTED, inside({}))
    nothing = {sender: torch.zeros_like(value) for sender, value in other.items()}
    how = (model.shape, "", BaseRun.CLEAN)
    found = measure_circuits(
        model,
        PROMPTS,
        only(circuit, *how, Counterfactual()),
        without(circuit, *how, Counterfactual()),
        only(circuit, *how, Zero()),
    )
    wanted = [
        oracle.run(CLEAN, inside(circuit), other)[0],
        oracle.run(CLEAN, inside(circuit, outside=True), other)[0],
        oracle.run(CLEAN, inside(circuit), nothing)[0],
    ]
    for measured, logits in zip(found, wanted, strict=True):
        # Norms are in float32: what is summed in another order differs there.
        np.testing.assert_allclose(measured.metric_patched, logit_diff(logits), rtol=0, atol=1e-6)
        assert np.abs(measured.effect).max() > 1e-3
