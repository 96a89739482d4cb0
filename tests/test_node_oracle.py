"""The oracles of node experiments check themselves, each other and TransformerLens' own activation patching."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.node_oracle import (
    GROUPED,
    HuggingFaceOracle,
    NodeOracle,
    PlainTransformer,
    nodes_of,
    oracle_of,
    prunable_nodes_of,
)
from tests.tiny import FAMILIES, LAYERS, TELLING, random_prompts

PROMPTS = random_prompts(pairs=2)
IDS = torch.tensor([pair.clean for pair in PROMPTS.pairs])
OTHER = torch.tensor([pair.corrupted for pair in PROMPTS.pairs])
AT = [pair.positions["B"] for pair in PROMPTS.pairs]
# Longer than a head is wide: the weights of its last tokens take a second run.
LONG = torch.tensor([pair.clean for pair in random_prompts(pairs=2, length=14).pairs])
# A norm in float32 can round another way when its input differs in the last bit of float64.
EXACT = 1e-11
NODES = [(family, node) for family in TELLING for node in nodes_of(family)]


@pytest.fixture(scope="module")
def oracle(checkpoint: Callable[[str], Path]) -> Callable[[str], NodeOracle]:
    """family → its oracle."""
    return cache(lambda family: oracle_of(family, checkpoint(family)))


def off(one: Tensor, other: Tensor) -> float:
    """How far two tensors are apart, in units of the second's largest number where that is above 1."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype == torch.float64
    return float((one - other).abs().max() / other.abs().max().clamp(min=1))


def bias(oracle: NodeOracle, layer: int) -> Tensor:
    """b_out of an MLP, or zero where a model has none. [d_model]"""
    if isinstance(oracle, PlainTransformer):
        return oracle.state[f"blocks.{layer}.mlp.b_out"]
    assert isinstance(oracle, HuggingFaceOracle)
    found = oracle.plain.neurons(layer).module.bias
    return oracle.value(IDS, "input").new_zeros(oracle.plain.model.config.hidden_size) if found is None else found.data


@pytest.mark.parametrize("family", FAMILIES)
def test_unpatched_logits_are_those_of_the_loaded_model(tiny_model, oracle, family):
    for ids in (IDS, LONG):
        assert off(oracle(family).logits(ids), tiny_model(family).run(ids).logits) < 1e-9


@pytest.mark.parametrize(("family", "node"), NODES)
def test_a_node_is_where_it_is_read(oracle, family, node):
    one = oracle(family)
    plain, own, others = one.logits(IDS), one.value(IDS, node), one.value(OTHER, node)
    assert own.ndim == 3
    assert own.shape[:2] == IDS.shape
    # Its own value changes nothing, another one does; at a token, as a value that differs there alone.
    assert off(one.patched(IDS, node, own), plain) < EXACT
    assert off(one.patched(IDS, node, others), plain) > 1e-4
    there = own.clone()
    for row, token in enumerate(AT):
        there[row, token] = others[row, token]
    at_token = one.patched(IDS, node, others, AT)
    assert off(at_token, one.patched(IDS, node, there)) < EXACT
    assert off(at_token, plain) > 1e-5


@pytest.mark.parametrize(("family", "node"), [(family, node) for family, node in NODES if node[0] in "ri"])
def test_everything_follows_from_the_residual_stream(oracle, family, node):
    one = oracle(family)
    assert off(one.patched(IDS, node, one.value(OTHER, node)), one.logits(OTHER)) < EXACT


@pytest.mark.parametrize("family", [family for family in FAMILIES if "m1" in nodes_of(family)])
def test_what_an_mlp_writes_is_added_to_the_stream(oracle, family):
    one = oracle(family)
    # No prompt's value: a norm after the MLP would change it, which another prompt's own value does not show.
    wanted = (one.value(IDS, "m1") + 2 * one.value(OTHER, "m1")) / 3
    stream = one.value(IDS, "r2") - one.value(IDS, "m1") + wanted
    assert off(one.patched(IDS, "m1", wanted), one.patched(IDS, "r2", stream)) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_mix_their_values_by_their_patterns(oracle, family):
    one = oracle(family)
    pattern, values, others = one.value(IDS, "a1.h2<pattern>"), one.value(IDS, "a1.h2<v>"), one.value(OTHER, "a1.h2<v>")
    assert off(pattern.sum(-1), torch.ones(IDS.shape, dtype=torch.float64)) < 1e-6
    assert off(pattern @ values, one.value(IDS, "a1.h2")) < EXACT
    # So new values, in this head's view alone, are a new z of this head alone.
    new = one.patched(IDS, "a1.h2<v>", others)
    assert off(new, one.patched(IDS, "a1.h2", pattern @ others)) < EXACT
    # And another prompt's queries and keys are its weights.
    ports = one.value(OTHER, "a1.h2<q,k>")
    new = one.patched(IDS, "a1.h2<q,k>", ports)
    assert off(new, one.patched(IDS, "a1.h2<pattern>", one.value(OTHER, "a1.h2<pattern>"))) < EXACT


@pytest.mark.parametrize("family", [family for family in FAMILIES if not family.startswith("tl_")])
def test_patterns_are_those_that_transformers_returns(checkpoint, oracle, family):
    eager = HuggingFaceOracle(checkpoint(family), "eager").plain.model
    with torch.no_grad():
        returned = eager(input_ids=LONG, output_attentions=True, use_cache=False).attentions
    # NeoX: that softmax is in float32, the oracle's is not.
    within = 1e-6 if family.startswith("gpt_neox") else 1e-15
    for layer in range(LAYERS):
        for head in (0, 2):
            ours = oracle(family).value(LONG, f"a{layer}.h{head}<pattern>")
            assert off(ours, returned[layer][:, head].double()) < within


@pytest.mark.parametrize("family", GROUPED)
def test_shared_keys_are_one_value_with_several_views(oracle, family):
    one = oracle(family)
    for port in "kv":
        shared, view = f"a1.kv1<{port}>", f"a1.h2<{port}>"
        assert off(one.value(IDS, shared), one.value(IDS, view)) < EXACT
        others = one.value(OTHER, shared)
        # The sibling sees the shared one change, not this head's view of it.
        assert off(one.patched(IDS, shared, others), one.patched(IDS, view, others)) > 1e-4


@pytest.mark.parametrize(("family", "node"), [(family, n) for family in FAMILIES for n in prunable_nodes_of(family)])
def test_pruning_is_zero_but_for_the_bias_of_an_mlp(oracle, family, node):
    one = oracle(family)
    before = one.logits(IDS)
    zero = torch.zeros_like(one.value(IDS, node))
    left = zero + bias(one, 1) if node == "m1" else zero
    pruned = one.pruned(IDS, [node])
    assert off(pruned, one.patched(IDS, node, left)) < EXACT
    assert off(pruned, before) > 1e-4
    assert (off(pruned, one.patched(IDS, node, zero)) > 1e-4) == (node == "m1" and bool(bias(one, 1).any()))
    # It was a copy that was pruned.
    assert off(one.logits(IDS), before) == 0


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "tl_bidirectional"])
def test_pruned_together_all_heads_are_the_layer(oracle, family):
    one = oracle(family)
    heads = [f"a1.h{head}" for head in range(4)]
    assert off(one.pruned(IDS, heads), one.pruned(IDS, ["a1"])) == 0
    assert off(one.pruned(IDS, ["a1", "m0"]), one.pruned(IDS, ["a1"])) > 1e-4


@pytest.mark.parametrize(
    ("family", "node"),
    [
        ("gpt_neox", "r1.mid"),
        ("tl_attention_only", "r1.mid"),
        ("gpt2", "m1<q>"),
        ("gpt2", "a1.kv1"),
        ("tl_no_norm", "a1.kv1<q>"),
        ("llama", "a1.h2@B"),
        ("gpt2", "logits"),
    ],
)
def test_what_is_no_node_is_refused(oracle, family, node):
    with pytest.raises((ValueError, KeyError)):
        oracle(family).value(IDS, node)


@pytest.mark.parametrize("family", FAMILIES)
def test_nodes_equal_transformer_lens_own_patching(tiny_model, oracle, family):
    import pandas as pd
    from transformer_lens import patching

    bridge, one, kinds = tiny_model(family)._bridge, oracle(family), nodes_of(family)
    with torch.no_grad():
        _, source = bridge.run_with_cache(OTHER)
    head, token = patching.layer_pos_head_vector_patch_setter, patching.layer_pos_patch_setter
    cases = [
        ("z", head, {"a0.h1": (0, 2, 1), "a1.h2": (1, 3, 2), "a2.h3": (2, 6, 3)}),
        ("q", head, {"a1.h2<q>": (1, 3, 2)}),
        ("k", head, {"a2.kv0<k>": (2, 1, 0), "a0.kv1<k>": (0, 3, 1)}),
        ("v", head, {"a2.kv1<v>": (2, 1, 1)}),
        ("pattern", patching.layer_head_pos_pattern_patch_setter, {"a1.h2<pattern>": (1, 2, 3)}),
        ("resid_pre", token, {"input": (0, 1), "r1": (1, 2), "r2": (2, 5)}),
        ("mlp_out", token, {"m0": (0, 1), "m1": (1, 2), "m2": (2, 4)}),
        ("resid_mid", token, {"r0.mid": (0, 1), "r1.mid": (1, 4)}),
    ]
    for activation, setter, nodes in cases:
        if (activation == "mlp_out" and "m1" not in kinds) or (activation == "resid_mid" and "r1.mid" not in kinds):
            continue
        axes = {token: ("layer", "pos"), head: ("layer", "pos", "head_index")}.get(
            setter, ("layer", "head_index", "pos")
        )
        seen: list[Tensor] = []

        def keep(logits: Tensor, seen: list[Tensor] = seen) -> Tensor:
            # Its own table of results is float32.
            seen.append(logits.clone())
            return logits.sum()

        # With gradients, its patch of resid_mid would reach the MLP alone.
        with torch.no_grad():
            patching.generic_activation_patch(
                bridge, IDS, source, keep, setter, activation, index_df=pd.DataFrame([*nodes.values()], columns=axes)
            )
        for (node, index), theirs in zip(nodes.items(), seen, strict=True):
            at = index[axes.index("pos")]
            ours = one.patched(IDS, node, one.value(OTHER, node), [at] * len(IDS))
            assert off(ours, theirs) < 1e-9, node
            assert off(ours, one.logits(IDS)) > 1e-5, node
