"""The fast executor gives the literal executor's numbers: on everything that a spec can ask for, drawn at random.

How close, relative to the larger of 1 and the metric of the two unpatched runs:

    float64   1e-9. Families that take scores or softmax in float32 even then: SOME_ULPS of float32, since two sums that
              differ by 1e-16 may round to neighbouring float32 numbers, and layers magnify that. Seen: up to 2e-7.
    float32   1e-4. Seen: up to 2e-6.
    bfloat16  twice the rounding error of the literal executor itself: its distance, the largest of an example, to the
              same weights in float64. Each executor may be off by so much, in different directions. Not its spread
              over batch sizes (1, 4, 16): that is 0 in 99.9 % of all cases and 0.01 in the others, since on a CPU each
              row is rounded alike in every batch, which says nothing about sums taken in another order. Where that
              distance is small by luck: FLOOR ulps of the largest logit. Seen: 0.4 of 2 errors or 2 ulps in nine
              examples of ten, 0.73 in 99 %; on average both executors are equally far from float64 (0.0063 and
              0.0062). The most, 5 ulps, where all of the first layer's attention is taken out: the fast executor
              subtracts it from the stream, whose last bits it has pushed out; the literal one never adds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from circuitgraph.execute.bind import BoundMetric, bind_batches, bind_metrics
from circuitgraph.execute.fast.executor import FastExecutor, Item
from circuitgraph.execute.fast.needed import needed_sites
from circuitgraph.execute.literal import LiteralExecutor, cached_sites, refuses
from circuitgraph.execute.run import reference_values
from circuitgraph.graph.claims import Base, Claim, Counterfactual, Mean, Prune, Resample, Zero
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.loading import load_model
from circuitgraph.models.locate import Location
from circuitgraph.plans.build import experiment_of
from circuitgraph.plans.routes import slow_reason
from circuitgraph.plans.types import Experiment, Plan
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.spec.model import BaseRun, PathKind, PluginSpec, ReceiverMode
from tests.drawn_claims import ModelChoice, Scene, experiments, metrics, model_choices, prompts
from tests.measuring import LOGIT_DIFF, chain, edge, edge_set, node, reference_spec
from tests.tiny import FLOAT32_INSIDE, TELLING, Sizes, random_prompts, save_checkpoint

SOME_ULPS = 16
"""Of float32 (2e-6): what families with float32 inside may be apart in float64."""
FLOOR = 8
"""Ulps of bfloat16 at the largest logit."""
MOST_SLOW = 0.05
"""The share of what is drawn that may be left to the literal executor."""

LONG = settings.get_profile("long")
USUAL = settings(max_examples=200, derandomize=True, deadline=None, database=None)
PROFILE = LONG if settings.default is LONG else USUAL

Table = NDArray[np.float64]
"""[items, metrics, pairs]"""


@dataclass(frozen=True)
class Asked:
    """Experiments on prompts."""

    experiments: tuple[Experiment, ...]
    prompts: PromptSet
    metrics: tuple[BoundMetric, ...]
    reference: PromptSet | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        """Every experiment in each of its draws."""
        return tuple(Item(experiment, draw) for experiment in self.experiments for draw in range(experiment.repeat))


@dataclass(frozen=True)
class Numbers:
    """What an executor says."""

    base: Table
    other: Table
    patched: Table


def by_literal(model: TransformerModel, asked: Asked) -> Numbers:
    """One experiment at a time."""
    base, other, patched = _empty(asked)
    referred = reference_values(model, asked.experiments, asked.prompts, asked.reference)
    sites = cached_sites(asked.experiments, model.shape)
    plan = Plan("test", asked.experiments)
    for batch in bind_batches(plan, asked.prompts, asked.metrics, model.shape, model.device, 64):
        executor = LiteralExecutor(model, batch, asked.metrics, reference=referred, sites=sites)
        rows = list(batch.rows)
        for i, (experiment, draw) in enumerate(asked.items):
            for m, (here, there) in enumerate(executor.unpatched(experiment.base)):
                base[i, m, rows] = here.numpy()
                other[i, m, rows] = np.nan if there is None else there.numpy()
            for m, value in enumerate(executor.patched(experiment, draw)):
                patched[i, m, rows] = value.numpy()
    return Numbers(base, other, patched)


def by_fast(model: TransformerModel, asked: Asked, tokens: int = 2048, order: Sequence[int] | None = None) -> Numbers:
    """All at once, in some order."""
    base, other, patched = _empty(asked)
    referred = reference_values(model, asked.experiments, asked.prompts, asked.reference)
    sites = needed_sites(asked.experiments, model.shape)
    order = list(range(len(asked.items)) if order is None else order)
    plan = Plan("test", asked.experiments)
    for batch in bind_batches(plan, asked.prompts, asked.metrics, model.shape, model.device, 64):
        executor = FastExecutor(model, batch, asked.metrics, sites=sites, reference=referred, tokens=tokens)
        rows = list(batch.rows)
        for i, (experiment, _) in enumerate(asked.items):
            base[i][:, rows], there = executor.unpatched(experiment.base)
            other[i][:, rows] = np.nan if there is None else there
        found = executor.measure([asked.items[i] for i in order])
        for place, i in enumerate(order):
            patched[i][:, rows] = found[:, place]
    return Numbers(base, other, patched)


def _empty(asked: Asked) -> tuple[Table, Table, Table]:
    shape = (len(asked.items), len(asked.metrics), len(asked.prompts))
    return np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)


def scale_of(numbers: Numbers) -> Table:
    """The larger of 1 and the metric of the two unpatched runs."""
    return np.maximum(1.0, np.fmax(np.abs(numbers.base), np.abs(numbers.other)))


# Whatever can be asked ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelChoice], TransformerModel]:
    """choice → loaded model, each once. The weights are bfloat16 numbers, so that all precisions have the same."""

    @cache
    def checkpoint(family: str, size: Sizes) -> Path:
        directory = save_checkpoint(family, tmp_path_factory.mktemp(family), size)
        file = directory / "model.safetensors"
        state = {name: weight.bfloat16().float() for name, weight in load_file(file).items()}
        save_file(state, file, metadata={"format": "pt"})
        return directory

    @cache
    def loaded(choice: ModelChoice) -> TransformerModel:
        where = Location("directory", choice.family, checkpoint(choice.family, choice.size))
        return load_model(where, dtype=choice.dtype, device="cpu")

    return loaded


@pytest.fixture(scope="module")
def counted() -> Iterator[Counter[str]]:
    """How many experiments were measured, and how many left to the literal executor."""
    counts: Counter[str] = Counter()
    yield counts
    print(f"\n{dict(counts)}")
    assert counts["slow"] <= MOST_SLOW * counts.total()


@PROFILE
@given(st.data())
def test_equals_the_literal_executor(
    models: Callable[[ModelChoice], TransformerModel], counted: Counter[str], data: st.DataObject
) -> None:
    choice = data.draw(model_choices(), "model")
    model = models(choice)
    some = data.draw(prompts(model.shape.vocab or 0), "prompts")
    scene = Scene(model.shape, some)
    specs = data.draw(metrics(some), "metrics")
    entries = data.draw(st.lists(experiments(scene), min_size=2, max_size=4))
    tokens = data.draw(st.sampled_from((2048, 64, 7, 1)), "tokens")
    drawn = [experiment for entry in entries for experiment in entry if refuses(experiment) is None]
    fast = tuple(experiment for experiment in drawn if slow_reason(experiment, model.shape) is None)
    counted.update(fast=len(fast), slow=len(drawn) - len(fast))
    if len(fast) < len(drawn):
        event("left to the literal executor")
    if not fast:
        return
    asked = Asked(fast, some.pairs, bind_metrics(specs), some.reference)
    ours, theirs = by_fast(model, asked, tokens), by_literal(model, asked)
    bound = bound_of(choice, models, asked, theirs)
    for what in ("base", "other", "patched"):
        off = np.abs(getattr(ours, what) - getattr(theirs, what)) / bound
        item, metric, pair = np.unravel_index(np.nanargmax(np.where(np.isnan(off), np.inf, off)), off.shape)
        experiment = asked.items[item].experiment
        note(f"{what}: {experiment.label}, {experiment.base}, {experiment.sources}, {specs[metric]}, pair {pair}")
        assert off[item, metric, pair] <= 1, "in units of what is tolerated"


def bound_of(
    choice: ModelChoice, models: Callable[[ModelChoice], TransformerModel], asked: Asked, theirs: Numbers
) -> Table:
    """How far the two executors may be apart: see the top of this file."""
    scale = scale_of(theirs)
    match choice.dtype:
        case "float64":
            return scale * (SOME_ULPS * torch.finfo(torch.float32).eps if choice.family in FLOAT32_INSIDE else 1e-9)
        case "float32":
            return scale * 1e-4
        case _:
            exact = by_literal(models(choice._replace(dtype="float64")), asked)
            error = np.abs(theirs.patched - exact.patched).max(axis=(0, 2), keepdims=True)
            ulp = torch.finfo(torch.bfloat16).eps * max(1.0, largest_logit(models(choice), asked.prompts))
            return np.broadcast_to(np.maximum(2 * error, FLOOR * ulp), scale.shape)


def largest_logit(model: TransformerModel, some: PromptSet) -> float:
    """The largest |logit| of the unpatched runs."""
    found = [model.run(torch.tensor([ids])).logits for pair in some.pairs for ids in (pair.clean, pair.corrupted)]
    return max(float(logits.abs().max()) for logits in found if logits is not None)


# What must not be left to the literal executor ------------------------------------------------

SHAPES = {
    "plain": ModelShape(3, 4, 4, d_mlp=48),
    "shared keys": ModelShape(3, 4, 2, d_mlp=48),
    "parallel": ModelShape(3, 4, 4, d_mlp=48, parallel=True),
    "post-norm": ModelShape(3, 4, 2, d_mlp=48, post_norm=True),
    "bidirectional": ModelShape(3, 4, 4, d_mlp=48, causal=False),
}
REFERENCE = reference_spec()
SOURCES = (Counterfactual(), Zero(), Base(), Mean(REFERENCE), Resample(REFERENCE, 2))
EVERY = [{"source": source, "base": base, "path": path} for source in SOURCES for base in BaseRun for path in PathKind]
NODES = (
    "input",
    "a1.h2",
    "a1",
    "m1",
    "m1.n3",
    "r2",
    "a1.h2<q>",
    "a1.h2<k>",
    "a1.h2<v>",
    "a1.h2<k,v>",
    "a1.h2<pattern>",
)
RECEIVERS = ("a2.h1<q>", "a2.h1<k>", "a2.h1<v>", "a2.h1", "a2<k,v>", "a2", "m2", "m2.n7", "r2", "logits")


def _places(text: str) -> tuple[str, ...]:
    return (text, f"{text}@END", f"{text}@S1+1", f"{text}@-1")


def _must_be_fast() -> Iterator[Claim]:
    for how in EVERY:
        for receiver in RECEIVERS:
            for sender in ("input", "a0.h1", "a0", "m0", "m0.n3", "r1"):
                for here, there in zip(_places(sender), _places(receiver), strict=True):
                    yield edge(here, there, **how)
        yield edge(["a0.h1", "m0", "a1.h2@END"], "a2.h1<q>@END", **how)
        yield edge(["a0.h1@S1", "a0.h1@END"], "logits", **how)
        yield edge("a0.h1", ["a1.h2<q>", "a1.h3<q>@END", "a2.h0<q>"], **how)
        yield edge("a0.h1", ["a1<k>", "m1", "m2.n3"], **how)
        yield edge(["a0.h1", "m0"], ["m1@END", "a2.h0<q>@END"], **how)
        for inner in ("a1.h2<v>@S1>END", "a1.h2", "m1", "m1.n3", "r2"):
            for receiver in ("a2.h1<q>", "logits"):
                yield chain("a0.h1", inner, receiver, **how)
        yield chain("a0.h1", "m0", "a1.h2<v>", "logits", **how)
    for how in ({"source": source, "base": base} for source in SOURCES for base in BaseRun):
        for one in NODES:
            for place in (*_places(one), *(f"{one}@{token}" for token in range(4))):
                yield node(place, **how)
        yield node(["a0.h1", "m1", "a2.h0@END"], **how)
    for one in ("a1.h2", "a1", "m1", "m1.n3"):
        yield node(one, source=Prune())


@pytest.mark.parametrize("shape", SHAPES)
def test_stays_fast(shape):
    claims = [*_must_be_fast()]
    if SHAPES[shape].grouped:
        claims += [edge("a0.h1", ["a1.kv0<k>", "a2.kv1<v>@END"], **how) for how in EVERY]
        claims += [node("a1.kv0<v>"), edge("a0.h1", "a2.kv1<k>")]
    reasons = {claim: slow_reason(experiment_of(claim, SHAPES[shape]), SHAPES[shape]) for claim in claims}
    assert not {claim: reason for claim, reason in reasons.items() if reason is not None}


def test_what_is_left_to_the_literal_executor():
    shape = SHAPES["shared keys"]
    claims = [
        edge_set([("a0.h1", "a1.h2<q>"), ("m0", "logits")]),
        edge("a0.h1", ["a1.h2<q>", "logits"], receivers=ReceiverMode.ADD),
        chain("a0.h1", "a1<q>", "logits"),
        edge(["a0.h1", "m1"], ["m1", "a2.h0<q>"]),
        edge("a0.h1", ["a1.h2<k>", "a2.h0<q>"]),
    ]
    assert all(slow_reason(experiment_of(claim, shape), shape) for claim in claims)


# Identities -----------------------------------------------------------------------------------

PROMPTS = random_prompts(pairs=4, lengths=(6, 8))
END = (LOGIT_DIFF, PluginSpec(name="kl"))
CLAIMS = (
    ("a0.h1@B", "a2.h3<k>@B"),
    ("input", "a1.h1"),
    ("a1", "logits"),
    ("a0.h2", "a1.h2<v>"),
    ("a0.h2", "r2@END"),
    ("m0", "a1.h2<q>"),
    ("m0.n5", "m2"),
)


def asked_of(
    model: TransformerModel,
    claims: Sequence[Claim],
    some: PromptSet = PROMPTS,
    metrics: Sequence[PluginSpec] = END,
) -> Asked:
    """Claims that all have to be fast."""
    made = tuple(experiment_of(claim, model.shape) for claim in claims)
    assert [slow_reason(each, model.shape) for each in made] == [None] * len(made)
    return Asked(made, some, bind_metrics(metrics))


def edges_of(shape: ModelShape) -> list[tuple[str, str]]:
    """Those of CLAIMS that a model has."""
    return [ends for ends in CLAIMS if shape.mlps or "m" not in ends[0]]


def near(a: Table, b: Table, family: str) -> bool:
    """Whether two numbers are the same but for rounding."""
    within = SOME_ULPS * torch.finfo(torch.float32).eps if family in FLOAT32_INSIDE else 1e-9
    return bool((np.abs(a - b) <= within * np.maximum(1.0, np.abs(b))).all())


@pytest.mark.parametrize("family", TELLING)
def test_own_values_change_nothing(tiny_model, family):
    model = tiny_model(family)
    every = [{"path": path, "base": base, "source": Base()} for path in PathKind for base in BaseRun]
    claims: list[Claim] = [edge(*ends, **how) for ends in edges_of(model.shape) for how in every]
    claims += [chain("a0.h1", "a1.h2<v>@B>END", "logits", **how) for how in every]
    claims += [edge(["a0.h1", "a1.h0@END"], ["a2.h0<q>", "a2.h1<q>@END"], **how) for how in every]
    claims += [node(one, source=Base(), base=base) for one in ("a1.h2<q>", "a1", "r1@B") for base in BaseRun]
    claims += [node(["input@B", "a1.h2<pattern>", "a2.h1"], source=Base())]
    found = by_fast(model, asked_of(model, claims))
    assert np.array_equal(found.patched, found.base)


@pytest.mark.parametrize("family", TELLING)
def test_direct_is_through_mlps_where_no_mlp_lies_between(tiny_model, family):
    model = tiny_model(family)
    ends = [("a0.h1", "m0"), ("m0", "a1.h2<q>"), ("m0@END", "a1.h0"), ("m2", "logits"), ("a2.h0", "a2"), ("r1", "a1")]
    ends += [("input", "a0.h1<k>"), ("a0.h1", "a1.h2<v>"), ("a1.h3", "a2.h1"), ("a2.h1", "logits")]
    shape = model.shape
    claims = [edge(*some) for some in ends if "m" not in "".join(some) or shape.mlps]
    claims = [
        claim
        for claim in claims
        if shape.can_reach(claim.senders[0].node, claim.receivers[0].node)
        and not shape.mlps_between(claim.senders[0].node, claim.receivers[0].node)
    ]
    through = [replace(claim, how=replace(claim.how, path=PathKind.THROUGH_MLPS)) for claim in claims]
    direct, free = (by_fast(model, asked_of(model, some)) for some in (claims, through))
    assert len(claims) > 2
    assert near(direct.patched, free.patched, family)


@pytest.mark.parametrize("family", TELLING)
def test_a_chain_of_two_is_the_edge(tiny_model, family):
    model = tiny_model(family)
    ends = [(some, {"path": path}) for some in edges_of(model.shape) for path in PathKind]
    one = by_fast(model, asked_of(model, [edge(*some, **how) for some, how in ends]))
    two = by_fast(model, asked_of(model, [chain(*some, **how) for some, how in ends]))
    assert near(one.patched, two.patched, family)
    assert np.abs(one.patched - one.base).max() > 1e-3


@pytest.mark.parametrize("family", TELLING)
def test_neither_stacks_nor_order_matter(tiny_model, family):
    model = tiny_model(family)
    claims: list[Claim] = [edge(*some, path=path) for some in edges_of(model.shape) for path in PathKind]
    claims += [node(one) for one in ("a0.h1", "a1.h2<v>@B", "r1@A", "a2.h2@END", "input")]
    claims += [edge("a0.h1", ["a1.h2<q>", "a2.h0<q>"]), node(["a0.h1", "a2.h1"])]
    asked = asked_of(model, claims, metrics=(*END, PluginSpec(name="logit_diff", at="B")))
    wanted = by_fast(model, asked)
    for tokens in (1, 7, 64):
        assert near(by_fast(model, asked, tokens).patched, wanted.patched, family)
    order = np.random.default_rng(0).permutation(len(claims)).tolist()
    assert near(by_fast(model, asked, 64, order).patched, wanted.patched, family)


# Nothing at all -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_metric_that_nothing_reaches_keeps_its_number(tiny_model, family, dtype):
    """Exactly: rounding alone would be an effect of one sign in every pair."""
    model = tiny_model(family, dtype)
    if not model.shape.causal:
        pytest.skip("every token sees every other")
    late = ["a1.h2<v>@B", "a0.h1@B", "input@B", "r2@B", "a0.h1<pattern>@B", "a2.h0@B", "r3@B"]
    claims: list[Claim] = [node(one, source=source) for one in late for source in (Counterfactual(), Zero())]
    claims += [edge("a0.h1@B", f"a2.h1<{port}>", path=path) for port in "qkv" for path in PathKind]
    claims += [edge("a0.h1@B", ["a1.h0<q>", "a2.h1<q>"]), chain("input@B", "a1.h1<k>", "logits")]
    found = by_fast(model, asked_of(model, claims, metrics=(PluginSpec(name="logit_diff", at="B-1"), LOGIT_DIFF)))
    assert np.array_equal(found.patched[:, 0], found.base[:, 0])
    assert (found.patched[:, 1] != found.base[:, 1]).any()


@pytest.mark.parametrize("family", TELLING)
def test_in_the_last_block_only_the_tokens_that_ask_change(tiny_model, family):
    model = tiny_model(family)
    last = f"a2.h1<q>@{1}"
    claims: list[Claim] = [node(last), node("a2.h1@1"), node("r3@1"), edge("input", last), edge("a1.h1", "logits@1")]
    found = by_fast(model, asked_of(model, claims, metrics=(LOGIT_DIFF, PluginSpec(name="logit_diff", at="1"))))
    assert np.array_equal(found.patched[:, 0], found.base[:, 0])
    assert (found.patched[:, 1] != found.base[:, 1]).any()


@pytest.mark.parametrize("family", TELLING)
def test_a_sender_that_does_not_change_has_no_effect(tiny_model, family):
    """The prompts differ from token 1 on: nothing of a causal model differs before."""
    model = tiny_model(family)
    if not model.shape.causal:
        pytest.skip("every token sees every other")
    claims: list[Claim] = [node(f"{one}@0", base=base) for one in ("input", "a1.h2", "a2", "r2") for base in BaseRun]
    claims += [edge("a0.h1@0", to, path=path) for to in ("a1.h2", "a2.h1<k>", "logits") for path in PathKind]
    found = by_fast(model, asked_of(model, claims))
    assert np.array_equal(found.patched, found.base)


@pytest.mark.parametrize("family", [family for family in TELLING if not family.startswith("tl_attention")])
def test_a_neuron_among_free_mlps_changes_no_other_token(tiny_model, family):
    model = tiny_model(family)
    senders = ["a0.h0@END", "m1.n1@END"]
    claims = [edge(senders, f"{to}@A", path=PathKind.THROUGH_MLPS) for to in ("a2.h1<k>", "m2", "r2", "logits")]
    found = by_fast(model, asked_of(model, claims))
    assert np.array_equal(found.patched, found.base)


# Seen to fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TELLING)
def test_one_head_at_two_positions(tiny_model, family):
    """It is one part of what its layer writes, however often it is named."""
    model = tiny_model(family)
    both = ["a0.h1@A", "a0.h1@END"]
    claims: list[Claim] = [node(both), node(["m0.n5@A", "m0.n5@END"])] if model.shape.mlps else [node(both)]
    claims += [edge(both, to, path=path) for to in ("a1.h2", "logits", "a2.h1<v>") for path in PathKind]
    asked = asked_of(model, claims)
    assert near(by_fast(model, asked).patched, by_literal(model, asked).patched, family)
