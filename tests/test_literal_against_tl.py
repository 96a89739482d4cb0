"""The literal executor against TransformerLens' own direct path patching, in float64 to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitgraph.spec.model import BaseRun
from tests.measuring import edge, measure_all
from tests.tiny import HEADS, LAYERS, random_prompts

SENDERS = [(0, 1), (1, 2)]
# TransformerLens refuses k and v on grouped-query models and post-norm families; those are compared
# with plain hooks on the Hugging Face model elsewhere.
CASES = [
    ("gpt2", "qkv", BaseRun.CLEAN),
    ("gpt2", "q", BaseRun.CORRUPTED),
    ("gpt_neox", "qkv", BaseRun.CLEAN),
    ("llama_mha", "kv", BaseRun.CORRUPTED),
    ("llama", "q", BaseRun.CLEAN),
]


@pytest.mark.parametrize(("family", "components", "base"), CASES)
def test_every_head_to_head_edge_equals_transformer_lens(tiny_model, family, components, base):
    from transformer_lens import patching

    model = tiny_model(family)
    prompts = random_prompts()
    ids = {
        BaseRun.CLEAN: torch.tensor([pair.clean for pair in prompts.pairs]),
        BaseRun.CORRUPTED: torch.tensor([pair.corrupted for pair in prompts.pairs]),
    }
    other = BaseRun.CORRUPTED if base is BaseRun.CLEAN else BaseRun.CLEAN
    bridge = model._bridge
    answers = torch.tensor([pair.answers for pair in prompts.pairs])
    wrong = torch.tensor([pair.wrong_answers for pair in prompts.pairs])
    seen: list[torch.Tensor] = []

    def metric(logits: torch.Tensor) -> torch.Tensor:
        # Kept here per pair: TransformerLens' own result buffer is float32.
        last = logits[:, -1].double()
        seen.append(last.gather(1, answers).mean(1) - last.gather(1, wrong).mean(1))
        return seen[-1].mean()

    with torch.no_grad():
        _, base_cache = bridge.run_with_cache(ids[base])
        _, other_cache = bridge.run_with_cache(ids[other])
    for component in components:
        claims, expected = [], []
        for layer, head in SENDERS:
            seen.clear()
            # Its "corrupted" run is the one that is patched, our base.
            patching.get_act_patch_direct_path(
                bridge, ids[base], other_cache, base_cache, metric, layer, head, component, verbose=False
            )
            targets = [(at, h) for at in range(layer + 1, LAYERS) for h in range(HEADS)]
            assert len(seen) == len(targets)
            expected += list(seen)
            claims += [edge(f"a{layer}.h{head}", f"a{at}.h{h}<{component}>", base=base) for at, h in targets]
        measured = measure_all(model, claims, prompts)
        ours = np.stack([m.metric_patched for m in measured])
        theirs = torch.stack(expected).numpy()
        assert np.abs(ours - theirs).max() < 1e-9
        # The comparison means something: the edges do change the metric.
        assert np.abs(np.stack([m.effect for m in measured])).max() > 1e-4
