"""Sets of edges, whole circuits, positions that are kept, pruned weights: identities on every family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from circuitgraph.graph.claims import Base, Claim, Counterfactual, Mean, Prune, Resample, Source, Zero
from circuitgraph.graph.partition import PartitionEdge, partition_edges, partition_nodes
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import Node, Position, parse
from circuitgraph.plans.circuits import only, only_nodes, without, without_nodes
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import Align, BaseRun
from tests.measuring import edge, edge_set, measure_all, measure_both, node, reference_spec
from tests.test_identities import close, parts, tolerance
from tests.tiny import BIASED_MLPS, PARALLEL, TELLING, random_prompts

TOKENS = 6
PROMPTS = random_prompts(pairs=3, length=TOKENS)
REFERENCE = random_prompts(pairs=4, length=TOKENS, seed=7)
CLEAN, CORRUPTED = BaseRun.CLEAN, BaseRun.CORRUPTED
SOURCES: tuple[Source, ...] = (
    Counterfactual(),
    Zero(),
    Mean(reference_spec()),
    Resample(reference_spec(), 1, 3),
    Mean(reference_spec(Align.POOLED, CORRUPTED)),
)
SATURATED = "tl_no_norm"
"""Its attention looks at one token each: many effects are 0."""


def measure(model: TransformerModel, *claims: Claim) -> list[Measured]:
    return measure_all(model, claims, PROMPTS, reference=REFERENCE)


def run(model: TransformerModel, *experiments: Experiment) -> list[NDArray[np.float64]]:
    """metric_patched of experiments that were planned by hand. [pairs]"""
    found = measure_both(model, Plan("test", experiments), PROMPTS, reference=REFERENCE)
    return [measured.metric_patched for measured in found]


def written(edges: Sequence[PartitionEdge], at: str = "") -> list[tuple[str, str]]:
    return [(f"{edge.sender}{at}", str(edge.target)) for edge in edges]


def out_edges(shape: ModelShape, *senders: str) -> list[PartitionEdge]:
    """Every edge of the finest partition that leaves some nodes."""
    return [edge for edge in partition_edges(shape) if str(edge.sender) in senders]


# Sets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
def test_a_node_is_the_set_of_all_its_edges(tiny_model, family):
    model = tiny_model(family)
    shape = model.shape
    names = [("a0.h1",), ("input",), ("a0.h1", "a0.h2")] + ([("m0",), ("a1.h0", "m0")] if shape.mlps else [])
    sets: list[Claim] = []
    nodes: list[Claim] = []
    for number, senders in enumerate(names):
        for step, source in enumerate((SOURCES * 2)[number : number + 3]):
            base, at = (CLEAN, CORRUPTED)[(number + step) % 2], ("", "@B")[(number + step // 2) % 2]
            sets.append(edge_set(written(out_edges(shape, *senders), at), source=source, base=base))
            nodes.append(node([f"{name}{at}" for name in senders], source=source, base=base))
    for claim, one, other in zip(nodes, measure(model, *sets), measure(model, *nodes), strict=True):
        assert close(one.metric_patched, other.metric_patched, tolerance(family)), claim
        assert np.abs(other.effect).max() > 1e-6 or family == SATURATED, claim


@pytest.mark.parametrize("family", TELLING)
def test_a_set_of_one_edge_is_the_edge(tiny_model, family):
    model = tiny_model(family)
    ends = [
        ("a0.h1", "a2.h3<q>"),
        ("a0.h1@B", "a1.h2<v>"),
        ("input", "a1.h1<k>@B"),
        ("a1.h2", "logits"),
        ("a0", "a2.h1"),
    ]
    ends += [("m0", "m2"), ("m0.n5", "a1.h0<v>"), ("a0.h3", "m1.n7")] if model.shape.mlps else []
    ends += [("a0.h1", "a2.kv1<v>"), ("r1", "a2<q>")]
    how = [{"source": SOURCES[i % len(SOURCES)], "base": (CLEAN, CORRUPTED)[i // 2 % 2]} for i in range(len(ends))]
    sets = measure(model, *(edge_set([some], **h) for some, h in zip(ends, how, strict=True)))
    edges = measure(model, *(edge(*some, **h) for some, h in zip(ends, how, strict=True)))
    for some, one, other in zip(ends, sets, edges, strict=True):
        assert close(one.metric_patched, other.metric_patched, tolerance(family)), some
        assert np.abs(other.effect).max() > 1e-7 or family == SATURATED, some


@pytest.mark.parametrize("family", TELLING)
def test_all_edges_are_all_nodes(tiny_model, family):
    model = tiny_model(family)
    everything = written(partition_edges(model.shape))
    cases = [
        (SOURCES[0], CLEAN),
        (SOURCES[0], CORRUPTED),
        (SOURCES[1], CLEAN),
        (SOURCES[2], CORRUPTED),
        (Base(), CLEAN),
    ]
    sets = measure(model, *(edge_set(everything, source=source, base=base) for source, base in cases))
    nodes = measure(model, *(node(parts(model.shape), source=source, base=base) for source, base in cases))
    for one, other in zip(sets, nodes, strict=True):
        assert close(one.metric_patched, other.metric_patched, tolerance(family))
    for measured in sets[:2]:
        assert close(measured.metric_patched, measured.metric_other, tolerance(family))
    assert (sets[-1].effect == 0).all()


@pytest.mark.parametrize("family", TELLING)
def test_senders_of_one_input_may_meet_at_some_tokens(tiny_model, family):
    """u into R everywhere and v into R at one token: v's change there is on top of u's."""
    model = tiny_model(family)
    receivers = ["a2.h3<v>", "a2.h1", "logits"] + (["m2"] if model.shape.mlps else [])
    for first, second in (("a0.h1", "a0.h2"), ("a1.h0", "input")):
        for receiver in receivers:
            at = "@END" if receiver in ("logits", "m2") else "@B"
            meeting, joined = measure(
                model,
                edge_set([(first, receiver), (second, receiver + at)], source=SOURCES[2]),
                edge([first, second + at], receiver, source=SOURCES[2]),
            )
            assert close(meeting.metric_patched, joined.metric_patched, tolerance(family)), receiver
            (alone,) = measure(model, edge_set([(first, receiver)], source=SOURCES[2]))
            assert not close(alone.metric_patched, meeting.metric_patched, 1e-7) or family == SATURATED
    apart = [("a0.h1", f"a2.h3<v>@{i}") for i in range(TOKENS)]
    (pieces, whole) = measure(model, edge_set(apart), edge_set([("a0.h1", "a2.h3<v>")]))
    assert close(pieces.metric_patched, whole.metric_patched, tolerance(family))


@pytest.mark.parametrize("family", TELLING)
def test_edges_that_feed_one_another_are_counted_once(tiny_model, family):
    """u → v and v → w: v's write is exchanged as it then is, so that with all of v's edges u → v has no say."""
    model = tiny_model(family)
    all_of_one = written(out_edges(model.shape, "a1.h2"))
    for source in SOURCES[:3]:
        more = [("a0.h1", "a1.h2<v>"), ("input", "a1.h2<q>"), *all_of_one]
        with_more, alone = measure(model, edge_set(more, source=source), edge_set(all_of_one, source=source))
        assert close(with_more.metric_patched, alone.metric_patched, tolerance(family))


# Circuits and what is kept --------------------------------------------------------------------


def some_edges(shape: ModelShape) -> list[PartitionEdge]:
    """A third of all edges, of every kind."""
    return [edge for number, edge in enumerate(partition_edges(shape)) if number % 3 == 1]


def index(i: int) -> Position:
    return Position("", i)


@pytest.mark.parametrize("family", TELLING)
def test_a_circuit_is_the_set_of_its_edges_or_of_all_others(tiny_model, family):
    model = tiny_model(family)
    shape, inside = model.shape, some_edges(model.shape)
    outside = [edge for edge in partition_edges(shape) if edge not in inside]
    half = len(inside) // 2
    # Half of the circuit belongs to it at B alone: elsewhere it carries the source.
    at_b = {edge: () if i < half else (Position("B"),) for i, edge in enumerate(inside)}
    others = [i for i in range(TOKENS) if i != PROMPTS.pairs[0].positions["B"]]
    for source, base in zip(SOURCES[:3], (CLEAN, CORRUPTED, CLEAN), strict=True):
        kept, removed, kept_at, removed_at = run(
            model,
            only(dict.fromkeys(inside, ()), shape, "", base, source),
            without(dict.fromkeys(inside, ()), shape, "", base, source),
            only(at_b, shape, "", base, source),
            without(at_b, shape, "", base, source),
        )
        beside = edge_set(written(outside), source=source, base=base)
        whole = edge_set(written(inside), source=source, base=base)
        partly = edge_set([*written(inside[:half]), *written(inside[half:], "@B")], source=source, base=base)
        for ours, measured in zip((kept, removed, removed_at), measure(model, beside, whole, partly), strict=True):
            assert close(ours, measured.metric_patched, tolerance(family))
            assert np.abs(measured.effect).max() > 1e-4
        # Without biases, zero for all that is outside leaves zero.
        assert not close(kept_at, kept, 1e-6) or isinstance(source, Zero)
        # The tokens besides B differ from pair to pair: those of the first.
        elsewhere = [some for i in others for some in written(inside[half:], f"@{i}")]
        (by_hand,) = measure(model, edge_set([*written(outside), *elsewhere], source=source, base=base))
        assert close(kept_at[:1], by_hand.metric_patched[:1], tolerance(family))


@pytest.mark.parametrize("family", TELLING)
def test_nodes_of_a_circuit_stay_at_their_tokens(tiny_model, family):
    model = tiny_model(family)
    shape = model.shape
    nodes: tuple[Node, ...] = partition_nodes(shape)
    inside = nodes[::2]  # With `input`: without it, all others would follow it to the source.
    at_b = {some: (Position("B"),) if i % 2 else () for i, some in enumerate(inside)}
    for source, base in zip(SOURCES[:3], (CLEAN, CORRUPTED, CLEAN), strict=True):
        kept, removed, kept_at, removed_at = run(
            model,
            only_nodes(dict.fromkeys(inside, ()), shape, "", base, source),
            without_nodes(dict.fromkeys(inside, ()), shape, "", base, source),
            only_nodes(at_b, shape, "", base, source),
            without_nodes(at_b, shape, "", base, source),
        )
        outside = [str(some) for some in nodes if some not in inside]
        there = [f"{some}@B" if at_b[some] else str(some) for some in inside]
        claims = [node(names, source=source, base=base) for names in (outside, [*map(str, inside)], there)]
        for ours, measured in zip((kept, removed, removed_at), measure(model, *claims), strict=True):
            assert np.array_equal(ours, measured.metric_patched)
        tokens = [i for i in range(TOKENS) if i != PROMPTS.pairs[0].positions["B"]]
        elsewhere = [f"{some}@{i}" for some in inside if at_b[some] for i in tokens]
        (by_hand,) = measure(model, node([*outside, *elsewhere], source=source, base=base))
        assert close(kept_at[:1], by_hand.metric_patched[:1], tolerance(family))
        assert not close(kept_at, kept, 1e-6)


@pytest.mark.parametrize("family", TELLING)
def test_everything_kept_is_the_base_run_and_nothing_kept_the_other(tiny_model, family):
    model = tiny_model(family)
    shape, edges, nodes = model.shape, partition_edges(model.shape), partition_nodes(model.shape)
    everywhere = tuple(map(index, range(TOKENS)))
    base, other = (measured := measure(model, node("input"))[0]).metric_base, measured.metric_other
    for source in SOURCES[:3]:
        untouched = run(
            model,
            only(dict.fromkeys(edges, ()), shape, "", CLEAN, source),
            only(dict.fromkeys(edges, everywhere), shape, "", CLEAN, source),
            only_nodes(dict.fromkeys(nodes, everywhere), shape, "", CLEAN, source),
            without({}, shape, "", CLEAN, source),
            without_nodes({}, shape, "", CLEAN, source),
        )
        for patched in untouched:
            assert np.array_equal(patched, base)
    for patched in run(
        model, only({}, shape, "", CLEAN, Counterfactual()), only_nodes({}, shape, "", CLEAN, Counterfactual())
    ):
        assert close(patched, other, tolerance(family))


# Weights set to zero --------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
@pytest.mark.parametrize("base", BaseRun)
def test_pruning_is_zero_everywhere_but_for_the_bias_of_an_mlp(tiny_model, family, base):
    model = tiny_model(family)
    names: list[str | list[str]] = ["a1.h2", "a1", ["a0.h1", "a1.h2", "a1.h3"]]
    names += ["m1.n5", "m1", ["a1", "m0"]] if model.shape.mlps else []
    pruned = measure(model, *(node(name, source=Prune(), base=base) for name in names))
    zeroed = measure(model, *(node(name, source=Zero(), base=base) for name in names))
    for name, one, other in zip(names, pruned, zeroed, strict=True):
        assert np.abs(one.effect).max() > 1e-4, name
        whole_mlp = name == "m1" or "m0" in name
        if whole_mlp and family in BIASED_MLPS:
            assert not close(one.metric_patched, other.metric_patched, 1e-4)
        else:
            assert np.array_equal(one.metric_patched, other.metric_patched), name


# Gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [f for f in TELLING if f not in (*PARALLEL, "tl_attention_only")])
def test_the_middle_of_a_block_is_patched_whatever_the_grad_mode(tiny_model, family):
    model = tiny_model(family)
    claims = [node(f"r1.mid{at}", source=source) for at in ("", "@B") for source in SOURCES[:3]]
    claims += [edge("a0.h1", "r1.mid"), edge("r1.mid", "m1"), edge_set([("a0.h1", "r1.mid@B")])]
    with torch.enable_grad():
        with_grad = measure(model, *claims)
    with torch.no_grad():
        without_grad = measure(model, *claims)
    for claim, one, other in zip(claims, with_grad, without_grad, strict=True):
        assert np.array_equal(one.metric_patched, other.metric_patched), claim
        assert np.abs(one.effect).max() > 1e-6, claim
    # For all that follows: the middle is everything before it.
    assert model.shape.problem_with(parse("r1.mid").node) is None
    before = ["input", "a0", "m0", "a1"]
    (everything,) = measure(model, node(before))
    assert close(with_grad[0].metric_patched, everything.metric_patched, tolerance(family))
