"""Identities that every correct measurement of edges and nodes satisfies, on tiny models of every family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from circuitgraph.execute.bind import bind_metrics
from circuitgraph.execute.run import execute
from circuitgraph.graph.claims import Base, Claim, Counterfactual, EdgeClaim, Intervention
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import Address, parse
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.types import Plan, Propagate, Swap
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import BaseRun, PathKind, PluginSpec, ReceiverMode
from tests.measuring import LOGIT_DIFF, edge, measure_all, node
from tests.tiny import FLOAT32_INSIDE, HEADS, LAYERS, TELLING, random_prompts

PROMPTS = random_prompts(pairs=3, length=6)
TOKENS = 6
THROUGH, ADD = PathKind.THROUGH_MLPS, ReceiverMode.ADD
EXACT = 1e-10
ROUNDED = 1e-5


def tolerance(family: str) -> float:
    """How far two float64 runs that reach one state by different sums may be apart, relative to the metric.

    What is float32 in every dtype rounds such states differently.
    """
    return ROUNDED if family in FLOAT32_INSIDE else EXACT


def measure(
    model: TransformerModel, *claims: Claim, prompts: PromptSet = PROMPTS, metric: PluginSpec = LOGIT_DIFF
) -> list[Measured]:
    return measure_all(model, claims, prompts, [metric])


def patched(model: TransformerModel, *claims: Claim) -> list[NDArray[np.float64]]:
    """metric_patched per claim. [pairs]"""
    return [measured.metric_patched for measured in measure(model, *claims)]


def swapped(model: TransformerModel, edges: Sequence[tuple[Sequence[str], str]], source: object) -> Measured:
    """Sets of senders added to receivers in one run: (senders, receiver) each."""
    how = Intervention(source=source)  # type: ignore[arg-type]  # one of the sources
    some = experiment_of(EdgeClaim((parse("input"),), (parse("logits"),), how), model.shape)
    swaps = tuple(Swap(tuple(map(parse, senders)), parse(receiver), how.source) for senders, receiver in edges)
    plan = Plan("test", (replace(some, isolations=(), propagate=Propagate(swaps)),))
    ((measured,),) = execute(model, plan, PROMPTS, bind_metrics([LOGIT_DIFF]))
    return measured


def close(a: NDArray[np.float64], b: NDArray[np.float64] | None, within: float = EXACT) -> bool:
    """Whether two values per pair differ by at most `within`, relative to the largest if that is above 1."""
    assert b is not None
    return bool(np.abs(a - b).max() <= within * max(1.0, np.abs(b).max()))


def parts(shape: ModelShape) -> list[str]:
    """`input` and every head and MLP, in order."""
    found = ["input"]
    for layer in range(shape.layers):
        found += [f"a{layer}.h{head}" for head in range(shape.heads)]
        found += [f"m{layer}"] if shape.mlps else []
    return found


def upstream(shape: ModelShape, receiver: str, senders: Sequence[str]) -> list[str]:
    return [name for name in senders if shape.can_reach(parse(name).node, parse(receiver).node)]


# Patching with the own value ------------------------------------------------------------------


def own_claims(shape: ModelShape) -> list[Claim]:
    """Edges, joined edges and nodes of every kind a shape has, patched with the base run's own values."""
    edges: list[tuple[str | list[str], str | list[str]]] = [
        ("a0.h1", "a2.h3<q>"),
        ("a0.h1@A", "a2.h2<k>@A"),
        ("a0", "a1.h2<v>"),
        ("input", "a1.h0"),
        ("a1.h1", "logits"),
        ("r1", "a2.h3<k>@B"),
        ("a0.h2", "a2"),
        (["a0.h1", "a1.h2"], ["a2.h0<q>", "a2.h1<v>"]),
        (["a0.h1@A", "a0.h2@B"], ["a1.h0<k>", "a2.h1"]),
    ]
    nodes: list[str | list[str]] = ["input", "a1.h2", "a1.h2<k>", "a0@B", "r1", ["a0.h1", "a1.h3@END"]]
    if shape.grouped:
        edges += [("a0.h1", "a2.kv1<k,v>"), ("a1.h0@B", "a2.kv0<v>@B")]
    if shape.mlps:
        edges += [("m0", "a1.h2<v>"), ("m0.n5", "m1"), ("a0.h0", "m2"), ("m0", "m1.n7"), ("a0.h1", ["m1", "a2.h1<q>"])]
        nodes += ["m1", "m0.n3@A"]
        if not shape.parallel:
            edges += [("r1.mid", "m1"), ("a0.h0", "m0"), ("a0.h1", "r1.mid")]
            nodes.append("r1.mid")
    claims: list[Claim] = []
    for number, (senders, receivers) in enumerate(edges):
        base = (BaseRun.CLEAN, BaseRun.CORRUPTED)[number % 2]
        claims += [edge(senders, receivers, source=Base(), base=base, path=path) for path in PathKind]
        if isinstance(receivers, list):
            claims.append(edge(senders, receivers, source=Base(), receivers=ADD))
    return claims + [node(name, source=Base()) for name in nodes]


@pytest.mark.parametrize("family", TELLING)
def test_the_own_value_changes_nothing_at_all(tiny_model, family):
    model = tiny_model(family)
    claims = own_claims(model.shape)
    for claim, measured in zip(claims, measure(model, *claims), strict=True):
        assert (measured.effect == 0).all(), f"{claim} moves the metric by {np.abs(measured.effect).max():.1e}"


NODE_KINDS = ("input", "a{l}", "a{l}.h{h}", "m{l}", "m{l}.n{n}", "r{l}", "r{l}.mid")
RECEIVER_KINDS = ("a{l}.h{h}<{p}>", "a{l}.h{h}", "a{l}.kv{k}<{v}>", "m{l}", "m{l}.n{n}", "r{l}", "r{l}.mid", "logits")
POSITIONS = st.sampled_from(["", "@A", "@B", "@END", "@0", "@-2"])


@st.composite
def addresses(draw: st.DrawFn, kinds: Sequence[str]) -> str:
    text = draw(st.sampled_from(kinds)).format(
        l=draw(st.integers(0, LAYERS - 1)),
        h=draw(st.integers(0, HEADS - 1)),
        k=draw(st.integers(0, 1)),
        n=draw(st.integers(0, 39)),
        p=draw(st.sampled_from(["q", "k", "v", "k,v", "q,v"])),
        v=draw(st.sampled_from(["k", "v", "k,v"])),
    )
    return text + draw(POSITIONS)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    family=st.sampled_from(TELLING),
    sender=addresses(NODE_KINDS),
    receiver=addresses(RECEIVER_KINDS),
    base=st.sampled_from(BaseRun),
    path=st.sampled_from(PathKind),
)
def test_any_edge_is_exact_and_does_not_depend_on_its_batch(tiny_model, family, sender, receiver, base, path):
    model: TransformerModel = tiny_model(family)
    ends: list[Address] = [parse(sender), parse(receiver)]
    first, last = (end.node for end in ends)
    if any(model.shape.problem_with(end) for end in (first, last)) or not model.shape.can_reach(first, last):
        return
    own, other = (edge(sender, receiver, base=base, path=path, source=source) for source in (Base(), Counterfactual()))
    nothing, together = measure(model, own, other)
    assert (nothing.effect == 0).all()
    alone = measure(model, other, prompts=PromptSet(PROMPTS.pairs[1:2]))[0]
    assert close(alone.metric_patched, together.metric_patched[1:2])


# Paths ----------------------------------------------------------------------------------------

SEQUENTIAL = [("a0.h1", "m0"), ("m0", "a1.h2<k>"), ("m0.n3", "a1.h0"), ("r1.mid", "m1"), ("m1", "r2"), ("m2", "logits")]
PARALLEL = [("a0.h1", "a1.h2<v>"), ("m0", "m1"), ("input", "m0"), ("a2.h1", "logits")]
WITHOUT_MLPS = [("a0.h1", "a2.h1<q>"), ("a0.h1", "logits"), ("input", "a2.h0<v>")]
ADJACENT = {
    "gpt2": SEQUENTIAL,
    "gemma2": SEQUENTIAL,
    "tl_bidirectional": SEQUENTIAL,
    "gpt_neox": PARALLEL,
    "tl_attention_only": WITHOUT_MLPS,
}


@pytest.mark.parametrize("family", ADJACENT)
def test_direct_is_through_mlps_when_no_mlp_lies_between(tiny_model, family):
    model = tiny_model(family)
    for ends in ADJACENT[family]:
        direct, through = patched(model, edge(*ends), edge(*ends, path=THROUGH))
        assert close(direct, through), ends
    if model.shape.mlps:
        direct, through = patched(model, edge("a0.h1", "a2.h1<v>"), edge("a0.h1", "a2.h1<v>", path=THROUGH))
        assert not close(direct, through, 1e-6)


def test_edges_into_logits_add_up_without_a_final_norm(tiny_model):
    model = tiny_model("tl_no_norm")
    senders = ["input", "a0.h1", "a0.h2", "m0", "a1", "m1.n4", "m1.n5", "a2.h3@END"]
    logit = PluginSpec(name="logit")
    *single, joint = measure(model, *(edge(s, "logits") for s in senders), edge(senders, "logits"), metric=logit)
    assert close(np.sum([measured.effect for measured in single], axis=0), joint.effect)
    assert np.abs(joint.effect).max() > 1e-2


@pytest.mark.parametrize("family", TELLING)
def test_all_senders_together_bring_the_input_of_the_other_run(tiny_model, family):
    model = tiny_model(family)
    names = parts(model.shape)
    receivers = ["a2.h3<q>", "a1.h2<k>", "a1.h0", "r2", "logits"] + (["m1"] if model.shape.mlps else [])
    joint = measure(model, *(edge(upstream(model.shape, r, names), r) for r in receivers))
    at_node = measure(model, *(node(r) for r in ("a2.h3<q>", "a1.h2<k>", "a1.h0<q,k,v>", "r2")))
    for measured, expected in zip(joint, at_node, strict=False):
        assert close(measured.metric_patched, expected.metric_patched, tolerance(family))
        assert np.abs(expected.effect).max() > 1e-4
    to_logits = joint[receivers.index("logits")]
    assert close(to_logits.metric_patched, to_logits.metric_other, tolerance(family))


# Nodes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
@pytest.mark.parametrize("base", BaseRun)
def test_patching_the_input_or_every_part_gives_the_other_run(tiny_model, family, base):
    model = tiny_model(family)
    for measured in measure(model, node("input", base=base), node(parts(model.shape), base=base)):
        assert close(measured.metric_patched, measured.metric_other)
        assert np.abs(measured.effect).min() > 1e-6


@pytest.mark.parametrize("family", TELLING)
def test_patching_the_residual_stream_is_patching_everything_before_it(tiny_model, family):
    model = tiny_model(family)
    before = upstream(model.shape, "r2", parts(model.shape))
    stream, everything = measure(model, node("r2"), node(before))
    assert close(stream.metric_patched, everything.metric_patched, tolerance(family))
    assert close(stream.metric_patched, stream.metric_other, tolerance(family))


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "tl_bidirectional"])
def test_the_middle_of_a_block_is_patched_for_all_that_follows(tiny_model, family):
    model = tiny_model(family)
    with torch.enable_grad():
        (with_grad,) = patched(model, node("r1.mid@B"))
    with torch.no_grad():
        (without_grad,) = patched(model, node("r1.mid@B"))
    assert np.array_equal(with_grad, without_grad)
    mid, before, mlp = patched(model, node("r1.mid"), node(["input", "a0", "m0", "a1"]), edge("r1.mid", "m1"))
    assert close(mid, before, tolerance(family))
    # Not the MLP's branch alone.
    assert not close(mid, mlp, 1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_denoising_is_noising_with_the_prompts_swapped(tiny_model, family):
    model = tiny_model(family)
    flipped = tuple(replace(pair, clean=pair.corrupted, corrupted=pair.clean) for pair in PROMPTS.pairs)
    cases = [("a0.h1", "a2.h3<k>", PathKind.DIRECT), ("input@B", "a1.h1", THROUGH)]
    denoised = measure(model, *(edge(s, r, path=p, base=BaseRun.CORRUPTED) for s, r, p in cases), node("a1.h1"))
    noised = measure(model, *(edge(s, r, path=p) for s, r, p in cases), prompts=PromptSet(flipped))
    for there, here in zip(denoised, noised, strict=False):
        assert np.array_equal(there.metric_patched, here.metric_patched)
        assert np.array_equal(there.metric_base, here.metric_base)
        assert np.array_equal(there.metric_other, here.metric_other)
        assert np.abs(here.effect).max() > 1e-5


# Joined senders and receivers -----------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "tl_bidirectional", "tl_no_norm"])
def test_adding_is_overwriting_where_no_receiver_feeds_another(tiny_model, family):
    model = tiny_model(family)
    senders = ["a0.h1", "a0.h2@B", "m0", "a1.h3"]
    for receiver in ("a2.h3<q>", "a2.h1", "m2", "r2", "logits", "a2.h0<k>@B"):
        (written,) = measure(model, edge(senders, receiver))
        added = swapped(model, [(senders, receiver)], Counterfactual())
        assert close(added.metric_patched, written.metric_patched, tolerance(family)), receiver
        assert np.abs(written.effect).max() > 1e-6 or family == "tl_no_norm"  # Its attention is saturated.
    apart = ["a2.h3<q>", "a2.h1<k,v>", "a2.h0<v>@A"]
    written, added = patched(model, edge(senders, apart), edge(senders, apart, receivers=ADD))
    assert close(written, added, tolerance(family))
    feeding = ["a1.h0<v>", "a2.h3<v>"]
    written, added = patched(model, edge(["a0.h1", "input"], feeding), edge(["a0.h1", "input"], feeding, receivers=ADD))
    assert not close(written, added, 1e-4)


@pytest.mark.parametrize("family", TELLING)
@pytest.mark.parametrize("source", [Counterfactual(), Base()], ids=str)
def test_all_edges_together_give_the_other_run(tiny_model, family, source):
    """The add rule on the finest partition: every edge of the model at once, each into its own port."""
    model = tiny_model(family)
    shape = model.shape
    receivers = ["logits"]
    for layer in range(shape.layers):
        receivers += [f"a{layer}.h{head}<q>" for head in range(shape.heads)]
        receivers += [f"a{layer}.kv{kv}<{port}>" for kv in range(shape.kv_heads) for port in "kv"]
        receivers += [f"m{layer}"] if shape.mlps else []
    edges = [(upstream(shape, receiver, parts(shape)), receiver) for receiver in receivers]
    measured = swapped(model, edges, source)
    if isinstance(source, Base):
        assert (measured.effect == 0).all()
    else:
        assert close(measured.metric_patched, measured.metric_other, tolerance(family))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_a_node_is_the_set_of_all_its_edges(tiny_model, family):
    """The out-edges of a head, into every query head's own view of keys and values."""
    model = tiny_model(family)
    receivers = ["m0", "m1", "m2", "logits"]
    receivers += [f"a{layer}.h{head}<{port}>" for layer in (1, 2) for head in range(HEADS) for port in "qkv"]
    measured = swapped(model, [(["a0.h1@B", "a0.h2"], receiver) for receiver in receivers], Counterfactual())
    (whole,) = patched(model, node(["a0.h1@B", "a0.h2"]))
    assert close(measured.metric_patched, whole, tolerance(family))
    assert np.abs(measured.effect).max() > 1e-2


# Positions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_neox"])
def test_all_positions_together_are_no_restriction(tiny_model, family):
    model = tiny_model(family)
    for sender, receiver in (("a0.h1", "a2.h3<k>"), ("m0", "a1.h2"), ("input", "a1.h0<v>")):
        senders = [f"{sender}@{i}" for i in range(TOKENS)]
        receivers = [f"{receiver}@{i}" for i in range(TOKENS)]
        free, sent, received = patched(model, edge(sender, receiver), edge(senders, receiver), edge(sender, receivers))
        assert close(free, sent)
        assert close(free, received)


@pytest.mark.parametrize("family", TELLING)
def test_a_sender_that_does_not_differ_has_no_effect_at_all(tiny_model, family):
    model = tiny_model(family)
    claims = [edge("input@0", "a1.h2"), edge("input@0", "a2.h1", path=THROUGH), node("input@0")]
    if model.shape.causal:
        # The prompts begin with the same token, and nothing at position 0 sees what follows.
        claims += [
            edge("a1.h1@0", "a2.h3<k>"),
            edge("r1@0", "logits"),
            edge("a0@0", ["a1.h1", "a2.h2<v>"]),
            node("a1@0"),
        ]
    for claim, measured in zip(claims, measure(model, *claims), strict=True):
        assert (measured.effect == 0).all(), claim


@pytest.mark.parametrize(
    ("family", "dtype", "within"),
    [("gpt2", "float64", EXACT), ("gemma2", "float64", EXACT), ("gpt_neox", "float32", 1e-5)],
)
def test_a_pair_does_not_depend_on_what_is_in_its_batch(tiny_model, family, dtype, within):
    model = tiny_model(family, dtype)
    prompts = random_prompts(pairs=4, lengths=(5, 7, 6))
    claims = [
        edge("a0.h1@B", "a2.h3<k>@B"),
        edge("m0", ["a1.h1<v>", "a2.h2"], receivers=ADD),
        edge("input@-2", "a1.h1", path=THROUGH, base=BaseRun.CORRUPTED),
        edge("a1", "logits"),
        node("m1@A"),
    ]
    together = measure(model, *claims, prompts=prompts)
    for i, pair in enumerate(prompts.pairs):
        for alone, measured in zip(measure(model, *claims, prompts=PromptSet((pair,))), together, strict=True):
            assert close(alone.metric_base, measured.metric_base[i : i + 1], within)
            assert close(alone.metric_other, measured.metric_other[i : i + 1], within)
            assert close(alone.metric_patched, measured.metric_patched[i : i + 1], within)


# Joined nodes of one layer ----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "tl_bidirectional"])
@pytest.mark.parametrize("path", list(PathKind))
def test_a_neuron_sender_leaves_its_neighbours_free_to_respond(tiny_model, family, path):
    """m1.n1 cannot reach m1.n5: joined as a sender, it takes nothing away from what a0.h0 does to m1.n5."""
    model = tiny_model(family)
    alone, joined = measure(model, edge("a0.h0", "m1.n5", path=path), edge(["a0.h0", "m1.n1"], "m1.n5", path=path))
    assert np.abs(alone.effect).max() > 1e-6
    assert close(joined.metric_patched, alone.metric_patched)


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_neox"])
def test_all_neurons_of_an_mlp_are_the_mlp(tiny_model, family):
    model = tiny_model(family)
    neurons = [f"m0.n{i}" for i in range(model.shape.d_mlp)]
    joined, whole = patched(model, edge(neurons, "a2.h1<q>"), edge("m0", "a2.h1<q>"))
    assert close(joined, whole, tolerance(family))


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama"])
def test_added_receivers_are_reached_only_by_what_comes_before_them(tiny_model, family):
    """a1.h1 cannot reach a1.h0, nor m1 in a parallel block: joining it as a sender changes logits' share alone."""
    model = tiny_model(family)
    reached = (("a0.h0",), "a1.h0<q>"), (("a0.h0", "a1.h1"), "logits")
    expected = swapped(model, reached, Counterfactual())
    joined = edge(["a0.h0", "a1.h1"], ["a1.h0<q>", "logits"], receivers=ADD)
    assert close(patched(model, joined)[0], expected.metric_patched)
