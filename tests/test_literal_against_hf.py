"""The literal executor against plain hooks on the Hugging Face model (see plain_hooks), pair by pair in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import BaseRun, PathKind, ReceiverMode
from tests.measuring import edge, measure_all, node
from tests.plain_hooks import ATTENTION, PlainModel
from tests.tiny import random_prompts

DIRECT, THROUGH = PathKind.DIRECT, PathKind.THROUGH_MLPS
CLEAN, CORRUPTED = BaseRun.CLEAN, BaseRun.CORRUPTED
PROMPTS = random_prompts(pairs=3)

# The residual stream moves no tokens: an edge between two positions leaves the base run as it is.
STILL = ("m0@B", "a1.kv0<k,v>@A", DIRECT, CORRUPTED)
GROUPED = [
    ("a0.h1", "a2.h3<q>", DIRECT, CLEAN),
    ("a0.h1", "a2.h3<q>", THROUGH, CORRUPTED),
    ("a1.h0", "a2.kv1<k>", DIRECT, CORRUPTED),
    ("a0.h2", "a2.kv0<v>", THROUGH, CLEAN),
    ("a0.h2", "a2.kv1<k,v>", DIRECT, CLEAN),
    ("a0.h1", "a2.h3<k>", DIRECT, CLEAN),
    ("a0.h1", "a2.h2<v>", THROUGH, CORRUPTED),
    ("a1.h1", "a2.h1<k,v>", DIRECT, CLEAN),
    ("a0.h3", "a1.h2", DIRECT, CLEAN),
    ("a0.h3", "a2.h0", THROUGH, CORRUPTED),
    ("a0.h0", "m0", DIRECT, CLEAN),
    ("a0.h0", "m2", THROUGH, CLEAN),
    ("m0", "a1.h2<q>", DIRECT, CORRUPTED),
    ("m0", "a2.kv0<v>", THROUGH, CLEAN),
    ("m0.n5", "a2.h1<q>", DIRECT, CLEAN),
    ("m0.n5", "a2.kv1<v>", THROUGH, CLEAN),
    ("m1.n9", "m2", DIRECT, CORRUPTED),
    ("input", "a0.h1<q>", DIRECT, CLEAN),
    ("input", "a1.h1", THROUGH, CLEAN),
    ("input", "m0", DIRECT, CLEAN),
    ("a1.h2", "logits", DIRECT, CLEAN),
    ("a1.h2", "logits", THROUGH, CORRUPTED),
    ("m0.n5", "logits", THROUGH, CLEAN),
    ("a1", "a2.h3<q>", DIRECT, CLEAN),
    ("a0", "a2.kv0<v>", THROUGH, CORRUPTED),
    ("a1", "logits", DIRECT, CLEAN),
    ("a0.h2", "r2", THROUGH, CLEAN),
    ("a0.h1@B", "a1.h3<q>", DIRECT, CLEAN),
    ("a0.h1@A", "a1.kv1<k>@A", DIRECT, CLEAN),
    ("a0.h1@B", "a2.h2<v>@B", THROUGH, CLEAN),
    ("m0@B", "a1.kv0<k,v>@B", DIRECT, CORRUPTED),
    STILL,
    ("a1.h3@END", "logits", DIRECT, CLEAN),
    ("input@A", "a1.h0@A", DIRECT, CLEAN),
]
PLAIN = [
    ("a0.h1", "a2.h3<q>", DIRECT, CLEAN),
    ("a0.h1", "a2.h3<k>", THROUGH, CORRUPTED),
    ("a0.h3", "a1.h2", DIRECT, CLEAN),
    ("a0.h1", "m1", DIRECT, CLEAN),
    ("m0", "a1.h2<v>", DIRECT, CORRUPTED),
    ("m0", "m2", THROUGH, CLEAN),
    ("m1", "m2", DIRECT, CLEAN),
    ("m0.n5", "a2.h1<v>", THROUGH, CLEAN),
    ("input", "a0.h1<v>@B", DIRECT, CLEAN),
    ("a1", "logits", THROUGH, CORRUPTED),
    ("a0.h1@A", "a2.h3<v>@A", THROUGH, CLEAN),
]
NODES = ("a0.h1", "a1@B", "m1", "m1.n9@B", "input@A")
# Of the others, what differs between families: the ports, grouped or not, MLPs and what there is of the middle.
SOME = GROUPED[:8] + GROUPED[12:20:2] + GROUPED[26:31]
SEQUENTIAL = [*PLAIN, ("a1.h0", "m1", DIRECT, CLEAN)]
EDGES = {
    "llama": GROUPED,
    "gemma2": GROUPED,
    "gpt2": SEQUENTIAL,
    "gpt_neox": PLAIN,
    **dict.fromkeys(("gemma3_text", "qwen2", "qwen3", "mistral"), SOME),
    "opt": SEQUENTIAL,
    "phi": PLAIN,
    "gptj": PLAIN,
}


def index(address: str, prompts: PromptSet) -> tuple[int, ...] | None:
    """The token index per pair at which an address is restricted."""
    _, marked, name = address.partition("@")
    return tuple(pair.positions[name] for pair in prompts.pairs) if marked else None


def logit_diff(logits: torch.Tensor, prompts: PromptSet) -> NDArray[np.float64]:
    """Mean logit of the answers − mean logit of the wrong answers at the last token."""
    rows = [
        logits[i, -1, list(pair.answers)].mean() - logits[i, -1, list(pair.wrong_answers)].mean()
        for i, pair in enumerate(prompts.pairs)
    ]
    return torch.stack(rows).numpy()


@cache
def tokens(base: BaseRun) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of the base and of the other prompts."""
    clean = torch.tensor([pair.clean for pair in PROMPTS.pairs])
    corrupted = torch.tensor([pair.corrupted for pair in PROMPTS.pairs])
    return (clean, corrupted) if base is CLEAN else (corrupted, clean)


@pytest.fixture(scope="module")
def plain(checkpoint: Callable[[str], Path]) -> Callable[[str], PlainModel]:
    """family → its Hugging Face model; keys and values of its own for every query head if asked."""

    @cache
    def get(family: str, own: bool = False) -> PlainModel:
        return (
            get(family).with_own_keys_and_values()
            if own
            else PlainModel(checkpoint(family), ATTENTION.get(family, "eager"))
        )

    return get


@pytest.mark.parametrize("family", EDGES)
def test_every_edge_equals_plain_hooks(tiny_model, plain, family):
    edges = EDGES[family]
    claims = [edge(sender, receiver, path=path, base=base) for sender, receiver, path, base in edges]
    measured = measure_all(tiny_model(family), claims, PROMPTS)
    for (sender, receiver, path, base), ours in zip(edges, measured, strict=True):
        received = receiver.partition("@")[0]
        views = ".h" in received and "<q>" not in received
        model = plain(family, views and plain(family).kv_heads < plain(family).heads)
        logits = model.patch_edge(
            *tokens(base),
            sender.partition("@")[0],
            received,
            through_mlps=path is THROUGH,
            sender_at=index(sender, PROMPTS),
            receiver_at=index(receiver, PROMPTS),
        )
        off = np.abs(ours.metric_patched - logit_diff(logits, PROMPTS)).max()
        assert off < 1e-9, f"{sender} → {receiver}, {path}, base {base}: {off:.1e} off"
    # The comparison means something: all but the edge between two positions change the metric.
    moved = [np.abs(m.effect).max() > 1e-4 for m in measured]
    assert moved == [edge != STILL for edge in edges]


@pytest.mark.parametrize(
    "family", ["gemma2", "gpt_neox", "gemma3_text", "qwen2", "qwen3", "mistral", "opt", "phi", "gptj"]
)
@pytest.mark.parametrize("base", BaseRun)
def test_every_node_equals_plain_hooks(tiny_model, plain, family, base):
    measured = measure_all(tiny_model(family), [node(name, base=base) for name in NODES], PROMPTS)
    for name, ours in zip(NODES, measured, strict=True):
        logits = plain(family).patch_node(*tokens(base), name.partition("@")[0], index(name, PROMPTS))
        assert np.abs(ours.metric_patched - logit_diff(logits, PROMPTS)).max() < 1e-9
        assert np.abs(ours.effect).max() > 1e-4


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text", "qwen2", "qwen3"])
def test_a_model_with_copied_keys_and_values_is_the_same_function(plain, family):
    ids, _ = tokens(CLEAN)
    assert torch.equal(plain(family).run(ids)[0], plain(family, own=True).run(ids)[0])


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text", "qwen2", "qwen3"])
def test_joined_views_of_shared_keys_equal_those_of_a_model_with_copies(tiny_model, plain, family, tmp_path):
    plain(family, own=True).model.save_pretrained(tmp_path)
    copies = load_model(Location("directory", family, tmp_path), dtype="float64", device="cpu")
    assert not copies.shape.grouped
    across = ["a1.h0<k>", "a1.h1<v>@B", "a2.h1", "a2.h2<q,v>"]
    claims = [edge(["a0.h1", "m0"], across, receivers=mode) for mode in ReceiverMode]
    claims += [edge("input", "a1.h3<k>", base=CORRUPTED), node("a1.h2<k>"), node(["a0.h1", "a1.h2<v>@B", "a2.h0<k,v>"])]
    for shared, copied in zip(*(measure_all(m, claims, PROMPTS) for m in (tiny_model(family), copies)), strict=True):
        assert np.abs(shared.metric_patched - copied.metric_patched).max() < 1e-9
        assert np.abs(shared.effect).max() > 1e-4
