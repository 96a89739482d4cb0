"""Path patching on a model small enough for pencil and paper.

Two tokens, two layers, one head each, no MLP, no norm, no bias. The residual stream has four numbers:

    t   what the token says: 0 for token 0, 2 for token 1, 4 for token 2
    p   where it stands: 0 for the first token, 1 for the second
    a   what a0.h0 writes
    b   what a1.h0 writes

    a0.h0   q = k = 0, so it looks at all it sees alike;   v = t;       writes v into a
    a1.h0   q = a · ln 2, k = p;                           v = t + a;   writes v into b

    logit of token 0 = a + 3b at the second token; the logits of tokens 1 and 2 are a and 0

The second token gives a1.h0's scores 0 · q and 1 · q, hence the weights 1 : 2^a. The runs are then

    clean       tokens 0 1   t = (0, 2)   a = (0, (0+2)/2) = (0, 1)   weights (1, 2)/3   v = (0, 3)
                b = 2/3 · 3 = 2                                       logit = 1 + 6 = 7

    corrupted   tokens 2 1   t = (4, 2)   a = (4, (4+2)/2) = (4, 3)   weights (1, 8)/9   v = (8, 5)
                b = (8 + 40)/9 = 16/3                                 logit = 3 + 16 = 19
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from circuitgraph.graph.claims import Claim
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import BaseRun, PathKind, PluginSpec, ReceiverMode
from tests.measuring import edge, measure_all, node

CLEAN, CORRUPTED = (0, 1), (2, 1)
T, P, A, B = torch.eye(4, dtype=torch.float64)
PAIR = Pair(CLEAN, CORRUPTED, answers=(0,), wrong_answers=(1,), positions={"END": 1})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TransformerModel:
    """The model of the docstring, written to files and loaded from them."""
    sizes = {"n_layers": 2, "n_heads": 1, "d_model": 4, "d_head": 1, "n_ctx": 2, "d_vocab": 3, "d_vocab_out": 3}
    kind = {"attn_only": True, "normalization_type": None, "positional_embedding_type": "standard", "act_fn": "relu"}
    state = {
        "embed.W_E": torch.stack([0 * T, 2 * T, 4 * T]),
        "pos_embed.W_pos": torch.stack([0 * P, P]),
        "unembed.W_U": torch.stack([A + 3 * B, A, 0 * A], dim=1),
        "unembed.b_U": torch.zeros(3, dtype=torch.float64),
    }
    heads = [
        {"Q": 0 * T, "K": 0 * T, "V": T, "O": A},
        {"Q": math.log(2) * A, "K": P, "V": T + A, "O": B},
    ]
    for layer, directions in enumerate(heads):
        at = f"blocks.{layer}.attn."
        for name in "QKV":
            state[f"{at}W_{name}"] = directions[name].reshape(1, 4, 1).clone()
            state[f"{at}b_{name}"] = torch.zeros(1, 1, dtype=torch.float64)
        state[f"{at}W_O"] = directions["O"].reshape(1, 1, 4).clone()
        state[f"{at}b_O"] = torch.zeros(4, dtype=torch.float64)
    directory: Path = tmp_path_factory.mktemp("by-hand")
    (directory / "config.json").write_text(json.dumps(sizes | kind))
    save_file(state, directory / "model.safetensors")
    return load_model(Location("directory", "by-hand", directory), dtype="float64", device="cpu")


def logit(model: TransformerModel, claim: Claim) -> float:
    """The patched logit of token 0."""
    (measured,) = measure_all(model, [claim], PromptSet((PAIR,)), [PluginSpec(name="logit")])
    return measured.metric_patched.item()


def test_the_runs(model):
    (measured,) = measure_all(model, [edge("a0.h0", "a1.h0<v>")], PromptSet((PAIR,)), [PluginSpec(name="logit")])
    assert (measured.metric_base.item(), measured.metric_other.item()) == pytest.approx((7, 19), abs=1e-12)
    # Without a, which both logits read, the difference is 3b.
    (measured,) = measure_all(model, [edge("a0.h0", "a1.h0<v>")], PromptSet((PAIR,)))
    assert (measured.metric_base.item(), measured.metric_other.item()) == pytest.approx((6, 16), abs=1e-12)


def test_values(model):
    # a0.h0 says (4, 3) to the values alone: v = t + a = (0 + 4, 2 + 3) = (4, 5), still weighed (1, 2)/3.
    # b = (4 + 10)/3 = 14/3; a itself stays 1 in the residual stream: 1 + 14.
    assert logit(model, edge("a0.h0", "a1.h0<v>")) == pytest.approx(15, abs=1e-12)


def test_queries(model):
    # The second token's query reads a = 3: weights (1, 8)/9 over the old values (0, 3). b = 24/9; 1 + 8.
    assert logit(model, edge("a0.h0", "a1.h0<q>")) == pytest.approx(9, abs=1e-12)


def test_keys(model):
    # Keys read the position alone.
    assert logit(model, edge("a0.h0", "a1.h0<k>")) == pytest.approx(7, abs=1e-12)


def test_no_port_means_all_three(model):
    # Weights (1, 8)/9 over the new values (4, 5): b = 44/9, and a stays 1.
    assert logit(model, edge("a0.h0", "a1.h0")) == pytest.approx(1 + 44 / 3, abs=1e-12)


def test_logits(model):
    # a = 3 at the second token, b stays 2.
    assert logit(model, edge("a0.h0", "logits")) == pytest.approx(3 + 6, abs=1e-12)
    # And b = 16/3 while a stays 1.
    assert logit(model, edge("a1.h0", "logits")) == pytest.approx(1 + 16, abs=1e-12)


def test_one_position(model):
    # a0.h0 changes at the first token alone: v = (4, 3), b = (4 + 6)/3.
    assert logit(model, edge("a0.h0@0", "a1.h0<v>")) == pytest.approx(1 + 10, abs=1e-12)
    # At the second alone: v = (0, 5), b = 10/3. The same when the receiver is restricted instead.
    assert logit(model, edge("a0.h0@END", "a1.h0<v>")) == pytest.approx(1 + 10, abs=1e-12)
    assert logit(model, edge("a0.h0", "a1.h0<v>@END")) == pytest.approx(1 + 10, abs=1e-12)
    # Two ends at different tokens.
    assert logit(model, edge("a0.h0@0", "a1.h0<v>@END")) == pytest.approx(7, abs=1e-12)


def test_the_whole_node(model):
    # All that follows sees a = (4, 3): weights (1, 8)/9 over (4, 5), b = 44/9, and 3 + 3b.
    assert logit(model, node("a0.h0")) == pytest.approx(3 + 44 / 3, abs=1e-12)


def test_denoising(model):
    # Base corrupted, a = (0, 1) to the values alone: v = (4 + 0, 2 + 1), weighed (1, 8)/9: b = 28/9, a = 3.
    assert logit(model, edge("a0.h0", "a1.h0<v>", base=BaseRun.CORRUPTED)) == pytest.approx(3 + 28 / 3, abs=1e-12)


def test_receivers_that_feed_each_other(model):
    # The input to the values of both heads. Its change is t: (0, 2) → (4, 2), so a0.h0 has v = (4, 2) and
    # writes a = (4, 3); the weights of a1.h0 follow, (1, 8)/9, for its query is free.
    ends = ("input", ["a0.h0<v>", "a1.h0<v>"])
    # Overwrite: a1.h0's value was recorded with a0.h0 frozen: t + a = (4 + 0, 2 + 1). b = 28/9, a = 3.
    assert logit(model, edge(*ends)) == pytest.approx(3 + 28 / 3, abs=1e-12)
    # Add: a1.h0's value is its current one, (0 + 4, 2 + 3), plus what the input changes, (4, 0): (8, 5).
    # b = 48/9. These are all paths of the input, so this is the corrupted run.
    assert logit(model, edge(*ends, receivers=ReceiverMode.ADD)) == pytest.approx(19, abs=1e-12)


def test_senders_together(model):
    # Input and a0.h0 to a1.h0's values: those of the corrupted run, (8, 5), weighed (1, 2)/3: b = 6, a = 1.
    assert logit(model, edge(["input", "a0.h0"], "a1.h0<v>")) == pytest.approx(1 + 18, abs=1e-12)
    # There are no MLPs to go through.
    through = edge(["input", "a0.h0"], "a1.h0<v>", path=PathKind.THROUGH_MLPS)
    assert logit(model, through) == pytest.approx(1 + 18, abs=1e-12)
