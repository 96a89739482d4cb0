"""Chains, and edges with every source, against plain hooks (see plain_chains); and identities of chains."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from circuitgraph.execute.references import derangement
from circuitgraph.graph.claims import Base, Claim, Counterfactual, Mean, Resample, Source, Zero
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import BaseRun, PathKind
from tests.measuring import chain, edge, measure_all, reference_spec
from tests.plain_chains import Hop, PlainChains
from tests.plain_hooks import ATTENTION, PlainModel
from tests.test_literal_against_hf import logit_diff
from tests.tiny import TELLING, random_prompts

PROMPTS, REFERENCE = random_prompts(pairs=3), random_prompts(pairs=4, seed=7)
CLEAN, CORRUPTED = BaseRun.CLEAN, BaseRun.CORRUPTED
THROUGH = PathKind.THROUGH_MLPS
SOURCES: tuple[Source, ...] = (
    Counterfactual(),
    Zero(),
    Mean(reference_spec()),
    Resample(reference_spec(), 1, 5),
    Mean(reference_spec(side=CORRUPTED)),
)

CHAINS = [
    ("a0.h1", "a1.h2<v>", "a2.h3<q>"),
    ("a0.h1@B", "a1.h2<v>@B>END", "logits"),
    ("a0.h1", "m1", "a2.h1<v>"),
    ("m0", "a1.h1", "logits"),
    ("a0.h2", "m1.n7", "a2.h0<k>"),
    ("input", "a0.h1<k>", "m1", "logits"),
    ("input@A", "a1", "a2.h3<v>"),
    ("a0.h1", "r1", "a1.h2<q,k>"),
    ("a0.h0", "r2@END", "m2.n3"),
    ("a0.h1", "a1.h0<k>@B>END", "a2.h1<q>@END", "logits"),
    ("a1", "m2", "logits@END"),
    ("m0@B", "a1.h2<k>@B", "m2", "logits"),
    ("m0.n5", "a1.h3<q,v>", "m2", "logits"),
    ("r1@B", "m1@B>B", "a2<k>@B"),
    ("a0.h1", "a1.h0<k>@B>END", "a2.h1<k>"),
    ("input", "a1.h2<v>@A>B", "a2.h3<v>", "logits"),
    ("a0.h1", "m1@B>END", "a2.h1<v>"),
]
SEQUENTIAL = [
    ("m0@B", "a1.h2<k>@B", "m1", "a2.h0"),
    ("a0.h1", "m0", "a1.h2<v>"),
    ("a0.h1", "r1.mid", "m1"),
    ("input", "r0.mid@B", "a1.h1<v>"),
]
GROUPED = [
    ("a0.h1", "a1.h2<k>", "a2.kv1<v>"),
    ("a0.h3", "a1<v>@B", "a2.kv0<k,v>@END"),
    ("a0.h1", "a1.h3<k>", "a2.h3<v>"),
]
# Changed at one token and sent at another, where an MLP moves nothing.
STILL = {("a0.h1", "m1@B>END", "a2.h1<v>")}
EDGES = [
    ("a0.h1", "a2.h3<q>"),
    ("a0.h1@B", "a2.h2<k>@B"),
    ("a0", "a2.h1<v>"),
    ("a1.h1", "logits"),
    ("m0", "a1.h2"),
    ("m0", "m2"),
    ("m0.n5", "a2.h1<v>"),
    ("m1.n5", "m2.n3"),
    ("input", "a1.h0<q,k>"),
    ("r1", "a2.h3<k>@B"),
]
HUGGING_FACE = {
    "gpt2": CHAINS + SEQUENTIAL,
    "gpt_neox": CHAINS,
    "llama": CHAINS + SEQUENTIAL + GROUPED,
    "gemma2": CHAINS + SEQUENTIAL + GROUPED,
}


@pytest.fixture(scope="module")
def plain(checkpoint: Callable[[str], Path]) -> Callable[[str], PlainChains]:
    """family → the chains of its Hugging Face model."""
    return cache(lambda family: PlainChains(PlainModel(checkpoint(family), ATTENTION.get(family, "eager"))))


def ids(prompts: PromptSet, side: BaseRun) -> Tensor:
    return torch.tensor([pair.clean if side is CLEAN else pair.corrupted for pair in prompts.pairs])


def index(name: str) -> list[int]:
    return [pair.positions[name] for pair in PROMPTS.pairs]


def source_value(model: PlainChains, node: str, source: Source, base: BaseRun) -> Tensor:
    """The tensor that holds a sender's new output, from the definition of the source."""
    match source:
        case Counterfactual():
            return model.whole(ids(PROMPTS, CORRUPTED if base is CLEAN else CLEAN), node)
        case Mean(reference):
            return model.whole(ids(REFERENCE, reference.side), node).mean(dim=0).expand(len(PROMPTS), -1, -1)
        case Resample(reference, seed=seed):
            order = derangement(seed, 0, len(REFERENCE))
            return model.whole(ids(REFERENCE, reference.side), node)[[int(order[i]) for i in range(len(PROMPTS))]]
        case _:
            return torch.zeros_like(model.whole(ids(PROMPTS, base), node))


def compare(tiny_model, plain, family: str, cases: list[tuple[tuple[str, ...], PathKind, BaseRun, Source]]) -> None:
    """Pair by pair, and that the change is seen."""
    claims: list[Claim] = []
    for hops, path, base, source in cases:
        how = {"path": path, "base": base, "source": source}
        claims.append(edge(*hops, **how) if len(hops) == 2 else chain(*hops, **how))  # type: ignore[arg-type]
    measured = measure_all(tiny_model(family), claims, PROMPTS, reference=REFERENCE)
    model = plain(family)
    for (hops, path, base, source), ours in zip(cases, measured, strict=True):
        value = source_value(model, hops[0].partition("@")[0], source, base)
        read = [Hop.read(hop, index) for hop in hops]
        logits = model.patch(ids(PROMPTS, base), value, read, through_mlps=path is THROUGH)
        what = f"{' → '.join(hops)}, {path}, base {base}, {source}"
        off = np.abs(ours.metric_patched - logit_diff(logits, PROMPTS)).max()
        assert off < 1e-9, f"{what}: {off:.1e} off"
        if hops in STILL:
            assert np.abs(ours.effect).max() < 1e-12
        else:
            assert np.abs(ours.effect).max() > 1e-7, what


@pytest.mark.parametrize("family", HUGGING_FACE)
def test_every_chain_equals_plain_hooks(tiny_model, plain, family):
    # One chain on each path, on bases that take turns; the next one the other way round.
    settings = [[(PathKind.DIRECT, CLEAN), (THROUGH, CORRUPTED)], [(PathKind.DIRECT, CORRUPTED), (THROUGH, CLEAN)]]
    cases = [
        (hops, *setting, SOURCES[(number + 2 * step) % len(SOURCES)])
        for number, hops in enumerate(HUGGING_FACE[family])
        for step, setting in enumerate(settings[number % 2])
    ]
    compare(tiny_model, plain, family, cases)


@pytest.mark.parametrize("family", HUGGING_FACE)
def test_edges_with_every_source_equal_plain_hooks(tiny_model, plain, family):
    bases = [CLEAN, CORRUPTED]
    cases = [
        (ends, path, bases[(number + step + (path is THROUGH)) % 2], source)
        for number, ends in enumerate(EDGES)
        for step, source in enumerate(SOURCES[1:4])
        for path in PathKind
    ]
    compare(tiny_model, plain, family, cases)


# Identities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
def test_own_values_change_nothing_and_a_chain_of_two_is_the_edge(tiny_model, family):
    model = tiny_model(family)
    mlps = model.shape.mlps
    chains = [("a0.h1@B", "a1.h2<v>@B>END", "logits"), ("input", "a0.h1", "a1<k>", "a2.h3"), ("a0", "r1", "a2.h0<q>")]
    chains += [("a0.h1", "m1", "a2.h1<v>"), ("m0", "m1.n5", "m2", "logits")] if mlps else []
    chains += [("a0.h1", "r1.mid", "m1")] if mlps and not model.shape.parallel else []
    chains += [("a0.h1", "a1.h2<k>", "a2.kv1<v>")]
    edges = [("a0.h1@B", "a2.h3<k>@B"), ("input", "a1.h1"), ("a1", "logits"), ("a0.h2", "a1.h2<v>")]
    edges += [("m0", "a1.h2<q>"), ("m0.n5", "m2")] if mlps else []
    every = [{"path": path, "base": base} for path in PathKind for base in BaseRun]
    claims = [chain(*hops, source=Base(), **how) for hops in chains for how in every]
    for claim, measured in zip(claims, measure_all(model, claims, PROMPTS), strict=True):
        assert (measured.effect == 0).all(), claim
    pairs = [(some, how) for some in edges for how in every]
    two = measure_all(model, [chain(*some, **how) for some, how in pairs], PROMPTS)
    one = measure_all(model, [edge(*some, **how) for some, how in pairs], PROMPTS)
    for (some, _), a, b in zip(pairs, two, one, strict=True):
        assert np.array_equal(a.metric_patched, b.metric_patched), some
        assert np.abs(a.effect).max() > 1e-7 or family == "tl_no_norm", some


@pytest.mark.parametrize("family", TELLING)
def test_a_chain_through_a_node_that_ignores_its_input_is_zero(tiny_model, checkpoint, tmp_path, family):
    """The weights that read it are zero in a copy of the checkpoint; in the model itself the chain is not zero."""
    kv = "k" if family == "tl_no_norm" else "v"
    chains = [("a0.h1", f"a1.h2<{kv}>", "logits"), ("input@B", f"a1.h2<{kv}>@B", "a2.h1<v>")]
    deaf = _without_input(family, checkpoint(family), tmp_path / "deaf", kv)
    shape = tiny_model(family).shape
    if shape.mlps:
        chains += [("a0.h1", "m1", "logits"), ("input", "m1", "a2.h1")]
    claims = [chain(*hops, base=base) for hops in chains for base in BaseRun]
    before = measure_all(tiny_model(family), claims, PROMPTS)
    after = measure_all(load_model(Location("directory", family, deaf), dtype="float64", device="cpu"), claims, PROMPTS)
    for claim, hears, ignores in zip(claims, before, after, strict=True):
        assert np.abs(hears.effect).max() > 1e-7 or family == "tl_no_norm", claim
        assert (ignores.effect == 0).all(), claim


def _without_input(family: str, directory: Path, target: Path, port: str) -> Path:
    """A copy of a checkpoint in which the matrices of layer 1 that read for `port` and for the MLP are zero."""
    copytree(directory, target)
    state = load_file(target / "model.safetensors")
    changed = 0
    for name, weight in state.items():
        if not re.search(r"(?:^|\.)(?:h|layers|blocks)\.1\.", name):
            continue
        if re.search(rf"attn\.W_{port.upper()}$|attn\.{port}_proj\.weight$", name) or re.search(
            r"mlp\.W_in$|mlp\.c_fc\.weight$|dense_h_to_4h\.weight$|(?:gate|up)_proj\.weight$|fc1\.weight$|fc_in\.weight$",
            name,
        ):
            weight.zero_()
        elif name.endswith("attn.c_attn.weight"):
            weight.unflatten(1, (3, -1))[:, "qkv".index(port)] = 0
        elif name.endswith("query_key_value.weight"):
            weight.unflatten(0, (4, 3, -1))[:, "qkv".index(port)] = 0
        else:
            continue
        changed += 1
    assert changed >= (1 if family == "tl_attention_only" else 2)
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return target
