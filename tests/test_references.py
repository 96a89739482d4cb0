"""Reference sets: which prompt a pair is given, which token, and that nothing depends on batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from circuitgraph.errors import InputError
from circuitgraph.execute.bind import Batch
from circuitgraph.execute.references import Reference, derangement, own_prompt_warning
from circuitgraph.execute.settings import Settings
from circuitgraph.graph.claims import CircuitGraph, Claim, Mean, Resample
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import Run
from circuitgraph.models.sites import Site, SiteKind
from circuitgraph.nodes import parse_position
from circuitgraph.plans.build import build_plan, experiment_of
from circuitgraph.prompts.pairs import Pair, PromptSet
from circuitgraph.spec.model import Align, BaseRun, PairSpec, PromptsSpec, ReferenceSpec
from tests.measuring import chain, edge, edge_set, measure_all, measure_both, node, reference_spec
from tests.tiny import random_prompts

SITE = Site(SiteKind.MLP_OUT, 0)
POSITION, NAME, POOLED = Align.POSITION, Align.NAME, Align.POOLED
CLEAN, CORRUPTED = BaseRun.CLEAN, BaseRun.CORRUPTED
OTHER = ReferenceSpec(prompts=PromptsSpec(pairs=(PairSpec(clean=(4,)),)))


# The order ------------------------------------------------------------------------------------


def test_no_prompt_is_given_itself():
    for size in (2, 3, 5, 64):
        for seed in range(40):
            order = derangement(seed, 0, size)
            assert sorted(order) == [*range(size)]
            assert all(order[i] != i for i in range(size))


def test_all_derangements_are_equally_likely():
    every = [order for order in permutations(range(4)) if all(order[i] != i for i in range(4))]
    assert len(every) == 9
    for counts in (
        Counter(tuple(derangement(seed, 0, 4).tolist()) for seed in range(4500)),
        Counter(tuple(derangement(3, draw, 4).tolist()) for draw in range(4500)),
    ):
        assert set(counts) == set(every)
        # Chi-square with 8 degrees of freedom: below 26.1 in 999 of 1000 cases.
        assert sum((counts[order] - 500) ** 2 / 500 for order in every) < 26.1


@pytest.mark.parametrize(
    ("order", "base", "warned"),
    [
        ([0, 1, 2], CLEAN, None),  # the measured prompts in their order
        ([2, 1, 0], CLEAN, "in 2 of 6 cases, first pair 3 in draw 1"),
        ([2, 1, 0], CORRUPTED, None),  # the clean prompts are given, the corrupted ones are patched
    ],
)
def test_a_pair_that_is_given_its_own_prompt_is_said(order, base, warned):
    """With seed 0 pairs are given reference prompts 1, 2, 0 in both draws."""
    prompts = random_prompts(3, 6)
    reference = PromptSet(tuple(prompts.pairs[i] for i in order))
    claim = node("a0.h0", base=base, source=Resample(OTHER, draws=2))
    found = own_prompt_warning([experiment_of(claim, ModelShape(1, 1, 1))], prompts, reference)
    assert (found is None) if warned is None else (found is not None and warned in found)


def test_an_order_is_that_of_its_seed_and_draw():
    assert (derangement(5, 2, 30) == derangement(5, 2, 30)).all()
    orders = [tuple(derangement(seed, draw, 30).tolist()) for seed in (0, 1, 2**32, -1) for draw in range(3)]
    assert len(set(orders)) == len(orders)
    # Written down: on another machine, with another numpy, the same numbers.
    assert derangement(0, 0, 6).tolist() == [5, 2, 0, 4, 3, 1]
    with pytest.raises(InputError, match="at least 2"):
        derangement(0, 0, 1)


# The values, of a model whose activations are its token ids -----------------------------------


def reference(prompts: PromptSet, side: BaseRun = CLEAN) -> Reference:
    """A reference set whose activation at each token is the token's id."""

    def run(ids: torch.Tensor, reads: Any) -> Run:
        return Run(None, {site: ids.double()[..., None] for site in reads})

    model: Any = SimpleNamespace(device=torch.device("cpu"), run=run)
    return Reference(model, prompts, {side: {SITE}})


def batch(prompts: PromptSet) -> Batch:
    clean = torch.tensor([pair.clean for pair in prompts.pairs])
    where = {parse_position(name): torch.tensor([pair.positions[name] for pair in prompts.pairs]) for name in "AB"}
    return Batch(tuple(range(len(prompts))), clean, None, where, clean[:, :1], clean[:, :1])


@pytest.mark.parametrize("side", BaseRun)
def test_means_are_over_prompts_over_names_or_over_all_tokens(side):
    prompts, even, mixed = random_prompts(3), random_prompts(4, seed=1), random_prompts(5, seed=2, lengths=(4, 9))
    at = parse_position("B")

    def texts(some: PromptSet) -> list[tuple[int, ...]]:
        return [pair.clean if side is CLEAN else pair.corrupted or () for pair in some.pairs]

    found = reference(even, side).mean(Mean(reference_spec(POSITION, side)), batch(prompts), SITE, None)
    assert found.shape == (3, 7, 1)
    for row in found:
        assert row[:, 0].tolist() == pytest.approx(np.mean(texts(even), axis=0))
    found = reference(mixed, side).mean(Mean(reference_spec(NAME, side)), batch(prompts), SITE, at)
    named = [text[pair.positions["B"]] for text, pair in zip(texts(mixed), mixed.pairs, strict=True)]
    for row, pair in enumerate(prompts.pairs):
        index = pair.positions["B"]
        assert found[row, index].item() == pytest.approx(np.mean(named))
        # No other token has a value.
        assert found[row].isnan().sum() == len(pair) - 1
    found = reference(mixed, side).mean(Mean(reference_spec(POOLED, side)), batch(prompts), SITE, at)
    tokens = [token for text in texts(mixed) for token in text]
    assert found.flatten().tolist() == pytest.approx([np.mean(tokens)] * 21)


def test_a_resampled_pair_is_given_one_prompt():
    prompts, even, mixed = random_prompts(5), random_prompts(3, seed=1), random_prompts(3, seed=2, lengths=(4, 9))
    for draw in range(4):
        order = derangement(6, draw, 3)
        given = [int(order[row % 3]) for row in range(5)]
        drawn = reference(even).drawn(Resample(reference_spec(), 4, 6), draw, batch(prompts), SITE, None)
        assert drawn[..., 0].tolist() == [[*even.pairs[at].clean] for at in given]
        source = Resample(reference_spec(NAME), 4, 6)
        drawn = reference(mixed).drawn(source, draw, batch(prompts), SITE, parse_position("B"))
        for row, at in enumerate(given):
            there = mixed.pairs[at]
            assert drawn[row, prompts.pairs[row].positions["B"]].item() == there.clean[there.positions["B"]]


def test_pooled_draws_take_every_token_of_that_prompt_equally_often():
    """And which token does not depend on which prompt, nor on another token of the pair, nor on another pair."""
    pairs = tuple(p for i in range(3) for p in random_prompts(1, 5).pairs)
    numbered = PromptSet(tuple(_numbered(pair, 10 * i) for i, pair in enumerate(pairs)))
    source = Resample(reference_spec(POOLED), 6000, 1)
    here, prompts = reference(numbered), batch(random_prompts(2, 5))
    drawn = torch.stack([here.drawn(source, d, prompts, SITE, None)[..., 0] for d in range(6000)]).int().numpy()
    for draw in range(50):
        assert (drawn[draw] // 10 == derangement(1, draw, 3)[:2, None]).all()
    tables = {
        "prompt and token": Counter(drawn[:, 0, 0].tolist()),
        "the next token": Counter(zip(drawn[:, 0, 0] % 10, drawn[:, 0, 1] % 10, strict=True)),
        "the next pair": Counter(zip(drawn[:, 0, 0] % 10, drawn[:, 1, 0] % 10, strict=True)),
        "prompt and the last token": Counter(drawn[:, 1, 4].tolist()),
    }
    for what, counts in tables.items():
        cells = 10 if what.startswith("prompt") else 25
        expected = 6000 / cells
        # Chi-square: below 27.9 (9 degrees of freedom) and 51.2 (24) in 999 of 1000 cases.
        found = sum((n - expected) ** 2 / expected for n in counts.values())
        assert len(counts) == cells, what
        assert found < (27.9 if cells == 10 else 51.2), f"{what}: {found:.0f}"


def _numbered(pair: Pair, start: int) -> Pair:
    return replace(pair, clean=tuple(range(start, start + len(pair))))


# Whole runs -----------------------------------------------------------------------------------


def sources(align: Align, draws: int = 2) -> tuple[Mean | Resample, ...]:
    settings = reference_spec(align, CORRUPTED if align is NAME else CLEAN)
    return Mean(settings), Resample(settings, draws, 4)


def claims_of(align: Align, draws: int = 2) -> list[Claim]:
    """Nodes, edges, chains and sets, all with a position."""
    found: list[Claim] = []
    for source in sources(align, draws):
        found += [
            node("a1.h2@B", source=source),
            node(["m0@A", "a1.h1<v>@B"], source=source, base=CORRUPTED),
            edge(["a0.h1@B", "m0@A"], "a2.h3<k>", source=source),
            chain("a0.h1@B", "m1@B", "a2.h1<v>", source=source),
            edge_set([("a0.h1@B", "a1.h0"), ("m0@A", "a2.h3<v>"), ("input@B", "m1")], source=source),
        ]
    return found


@pytest.mark.parametrize(("family", "within", "align"), [("gpt2", 1e-10, POOLED), ("gemma2", 1e-6, NAME)])
def test_a_pair_does_not_depend_on_its_batch(tiny_model, family, within, align):
    model, prompts = tiny_model(family), random_prompts(5, lengths=(5, 6))
    given, claims = random_prompts(4, seed=5, lengths=(9, 6, 5)), claims_of(align, draws=1)
    whole = measure_all(model, claims, prompts, reference=given)
    assert all(np.abs(m.effect).max() > 1e-5 for m in whole)
    plan = build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))
    single = measure_both(model, plan, prompts, reference=given, settings=Settings(pairs=1))
    for one, other in zip(single, whole, strict=True):
        assert np.abs(one.metric_patched - other.metric_patched).max() < within
    # What a pair is resampled with depends on its place among the pairs alone: fewer after it change nothing.
    for one, other in zip(
        measure_all(model, claims, PromptSet(prompts.pairs[:2]), reference=given), whole, strict=True
    ):
        assert np.abs(one.metric_patched - other.metric_patched[:2]).max() < within
    means = claims[: len(claims) // 2]
    alone = measure_all(model, means, PromptSet(prompts.pairs[3:4]), reference=given)
    for one, other in zip(alone, whole[: len(means)], strict=True):
        assert np.abs(one.metric_patched - other.metric_patched[3:4]).max() < within


def test_effects_are_averaged_over_draws_and_each_draw_is_its_own(tiny_model):
    model, prompts, given = tiny_model("gpt2"), random_prompts(3), random_prompts(4, seed=5)
    for claim in claims_of(POSITION, draws=3)[5:]:
        (measured,) = measure_all(model, [claim], prompts, reference=given)
        assert measured.draws is not None
        assert measured.draws.shape == (3, 3)
        assert np.allclose(measured.draws.mean(axis=1), measured.metric_patched, rtol=0, atol=1e-14)
        assert np.abs(measured.draws - measured.draws[:, :1]).max() > 1e-5
    for draws in (1, 2):
        claims = [node("a1.h2", source=Resample(reference_spec(), n, 4)) for n in (draws, 3)]
        fewer, more = measure_all(model, claims, prompts, reference=given)
        assert more.draws is not None
        assert np.array_equal(fewer.metric_patched, more.draws[:, :draws].mean(axis=1))


def test_the_senders_of_a_run_are_given_one_prompt(tiny_model):
    """So that all of them from another prompt of equal length make that prompt's run."""
    model, prompts, given = tiny_model("gpt2"), random_prompts(3), random_prompts(4, seed=5)
    parts = ["input", *(f"{kind}{layer}" for layer in range(3) for kind in "am")]
    source = Resample(reference_spec(), 1, 4)
    everything, stream = measure_all(
        model, [node(parts, source=source), node("r3", source=source)], prompts, reference=given
    )
    assert np.abs(everything.metric_patched - stream.metric_patched).max() < 1e-10
    assert np.abs(stream.effect).max() > 1e-2


def test_both_sides_of_a_reference_set_can_be_used_in_one_plan(tiny_model):
    model, prompts, given = tiny_model("gpt2"), random_prompts(3), random_prompts(4, seed=5)
    claims = [node("a1.h2", source=Mean(reference_spec(POSITION, side))) for side in BaseRun]
    together = measure_all(model, claims, prompts, reference=given)
    assert np.abs(together[0].metric_patched - together[1].metric_patched).max() > 1e-4
    for claim, measured in zip(claims, together, strict=True):
        (alone,) = measure_all(model, [claim], prompts, reference=given)
        assert np.array_equal(alone.metric_patched, measured.metric_patched)


@pytest.mark.parametrize(
    ("claims", "size", "message"),
    [
        ([node("a1.h2@C", source=Mean(reference_spec(NAME)))], 4, "'C' is no position"),
        ([node("a1.h2", source=Resample(reference_spec(POOLED)))], 1, "at least 2 reference prompts, not 1"),
        ([edge("a1.h2", "logits@B", source=Mean(reference_spec(NAME)))], 4, "write a1.h2@END"),
        ([edge_set([("a0.h1", "logits")], source=Mean(reference_spec(NAME)))], 4, "write a0.h1@END"),
        ([node("a1", source=Mean(reference_spec())), node("a1", source=Mean(OTHER))], 4, "this is a second one"),
    ],
)
def test_what_the_set_does_not_have_is_refused_before_the_model_runs(tiny_model, monkeypatch, claims, size, message):
    model = tiny_model("gpt2")
    monkeypatch.setattr(type(model), "run", lambda *_, **__: pytest.fail("the model ran"))
    with pytest.raises(InputError, match=message):
        measure_all(model, claims, random_prompts(2), reference=random_prompts(size, seed=1))


def test_prompts_of_another_length_are_refused_by_position(tiny_model):
    model, prompts = tiny_model("gpt2"), random_prompts(2)
    one_token = PromptSet((replace(prompts.pairs[0], clean=(3,), corrupted=(3,)),) * 2)
    for given in (one_token, random_prompts(3, length=6), random_prompts(3, lengths=(7, 6))):
        for source in sources(POSITION):
            with pytest.raises(InputError, match="of one length"):
                measure_all(model, [node("a1", source=source)], prompts, reference=given)
