"""Running a plan: parts, batches, progress, what is skipped, and what is refused before the model runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from circuitgraph.errors import InputError, RefusedError
from circuitgraph.execute.bind import bind_batches, bind_metrics
from circuitgraph.execute.run import execute, steps
from circuitgraph.execute.settings import Settings
from circuitgraph.graph.claims import Base, CircuitGraph, Claim, Mean, claim_id
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.nodes import parse_position
from circuitgraph.plans import Plan, build_plan, schedule
from circuitgraph.plans.schedule import Executor
from circuitgraph.plans.work import PromptShape
from circuitgraph.prompts.pairs import PromptSet
from circuitgraph.results.records import Measured
from circuitgraph.spec.model import BaseRun, PluginSpec, PromptsSpec, ReferenceSpec
from tests.measuring import LOGIT_DIFF, edge, node
from tests.tiny import VOCAB, random_prompts

KL = PluginSpec(name="kl")
CLAIMS: tuple[Claim, ...] = (
    edge("input@A", "a0.h1<k>@A"),
    edge("a0.h1@A", "a1.h2<v>@A", base=BaseRun.CORRUPTED),
    node("a1.h2@END"),
    edge("a0.h0@B", "m1@B"),
    edge("m1", "logits"),
    node("m0@B", base=BaseRun.CORRUPTED),
    edge("a2.h3@END", "logits@END"),
)
LENGTHS = (4, 7, 5)


def plan_of(model: TransformerModel, claims: Sequence[Claim] = CLAIMS) -> Plan:
    return build_plan(CircuitGraph("test", model.shape, (), tuple(claims)))


def parts_of(model: TransformerModel, prompts: PromptSet, claims: Sequence[Claim] = CLAIMS, **how):
    metrics = bind_metrics((LOGIT_DIFF, KL))
    return list(execute(model, plan_of(model, claims), prompts, metrics, **how))


def flat(parts: Sequence[Sequence[Measured]]) -> list[Measured]:
    """In the order of CLAIMS, which the parts of the fast executor do not keep."""
    found = [measured for part in parts for measured in part]
    places = [claim_id(claim) for claim in CLAIMS]
    return sorted(found, key=lambda m: places.index(m.id)) if {m.id for m in found} <= set(places) else found


EXECUTORS = pytest.mark.parametrize("executor", [Executor.LITERAL, Executor.FAST])


def assert_same(ours: Sequence[Measured], theirs: Sequence[Measured], within: float = 1e-12) -> None:
    assert [(m.id, m.metric) for m in ours] == [(m.id, m.metric) for m in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.metric_other is not None
        assert other.metric_other is not None
        for name in ("metric_base", "metric_other", "metric_patched"):
            assert np.abs(getattr(one, name) - getattr(other, name)).max() <= within, (one.id, one.metric, name)


@pytest.fixture(scope="module")
def prompts() -> PromptSet:
    return random_prompts(5, lengths=LENGTHS)


@pytest.fixture(scope="module")
def whole(tiny_model, prompts) -> list[Measured]:
    """Everything in one part, and one batch per length."""
    parts = parts_of(tiny_model("gpt2"), prompts)
    assert len(parts) == 1
    return flat(parts)


# Parts, batches, progress -----------------------------------------------------------------------


def test_every_experiment_and_metric_is_measured_on_every_pair_in_plan_order(whole, prompts):
    assert [(m.id, m.metric) for m in whole] == [(claim_id(c), name) for c in CLAIMS for name in ("logit_diff", "kl")]
    for measured in whole:
        assert measured.metric_patched.dtype == np.float64
        assert measured.metric_patched.shape == (len(prompts),)
        assert np.isfinite(measured.effect).all()
        assert np.abs(measured.effect).min() > 0  # so that a pair left out would show


@EXECUTORS
@pytest.mark.parametrize(("part", "batch", "tokens"), [(1, 64, 1), (64, 1, 20), (3, 2, 50), (7, 3, 2048)])
def test_parts_and_batches_do_not_change_a_number(
    tiny_model, prompts, whole, monkeypatch, part, batch, tokens, executor
):
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", part)
    parts = parts_of(tiny_model("gpt2"), prompts, executor=executor, settings=Settings(batch, tokens))
    sizes = [len(measured) for measured in parts]
    assert sizes[:-1] == [2 * part] * (len(parts) - 1)
    assert sum(sizes) == 2 * len(CLAIMS)
    assert_same(flat(parts), whole)


@EXECUTORS
@pytest.mark.parametrize("family", ["gpt2", "gemma2", "tl_bidirectional"])
def test_mixed_lengths_are_as_each_pair_alone(tiny_model, prompts, family, executor):
    model = tiny_model(family)
    together = flat(parts_of(model, prompts, executor=executor))
    for i, pair in enumerate(prompts.pairs):
        alone = flat(parts_of(model, PromptSet((pair,)), executor=executor))
        picked = [
            replace(
                m,
                metric_base=m.metric_base[i : i + 1],
                metric_other=None if m.metric_other is None else m.metric_other[i : i + 1],
                metric_patched=m.metric_patched[i : i + 1],
            )
            for m in together
        ]
        assert_same(picked, alone)


def test_a_named_position_is_looked_up_in_each_pair(tiny_model):
    """B is token 2 in even pairs and token 3 in odd ones; an index is the same token in all."""
    model, prompts = tiny_model("gpt2"), random_prompts(6)
    claims = [edge(f"a0.h0@{at}", f"m1@{at}") for at in ("B", "2", "3")]
    named, second, third = (m.effect for m in flat(parts_of(model, prompts, claims)) if m.metric == "logit_diff")
    assert np.abs(second - third).min() > 0
    assert np.abs(named[0::2] - second[0::2]).max() < 1e-12
    assert np.abs(named[1::2] - third[1::2]).max() < 1e-12


def test_end_is_the_last_token_of_each_pair(tiny_model, prompts):
    model = tiny_model("gpt2")
    claims = [edge(f"a2.h3@{at}", "logits") for at in ("END", "-1")]
    named, index = (m.metric_patched for m in flat(parts_of(model, prompts, claims)) if m.metric == "logit_diff")
    assert np.array_equal(named, index)
    (binding,) = {
        tuple(batch.where[parse_position("END")].tolist())
        for batch in bind_batches(plan_of(model, claims), random_prompts(3), (), model.shape, model.device, 9)
    }
    assert binding == (6, 6, 6)


@EXECUTORS
def test_what_is_skipped_is_not_measured_and_the_rest_is_the_same(tiny_model, prompts, whole, monkeypatch, executor):
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", 2)
    skip = frozenset(claim_id(CLAIMS[i]) for i in (0, 3, 6))
    parts = parts_of(tiny_model("gpt2"), prompts, skip=skip, executor=executor)
    # What is left of each part stays a part, so that no number depends on where a run was interrupted.
    cut = schedule.parts_of(plan_of(tiny_model("gpt2")), tiny_model("gpt2").shape, PromptShape.of(prompts), executor)
    left = [[e.id for e in part.but(skip).experiments] for part in cut]
    assert [list(dict.fromkeys(m.id for m in part)) for part in parts] == [part for part in left if part]
    assert_same(flat(parts), [m for m in whole if m.id not in skip])
    assert parts_of(tiny_model("gpt2"), prompts, skip=frozenset(map(claim_id, CLAIMS)), executor=executor) == []


@EXECUTORS
@pytest.mark.parametrize(("part", "batch"), [(64, 64), (2, 1), (3, 2)])
def test_progress_counts_up_to_steps(tiny_model, prompts, monkeypatch, part, batch, executor):
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", part)
    settings = Settings(pairs=batch)
    model, seen = tiny_model("gpt2"), []
    parts_of(model, prompts, progress=seen.append, executor=executor, settings=settings)
    by_length = [sum(len(pair) == length for pair in prompts.pairs) for length in LENGTHS]
    expected = len(CLAIMS) * sum(math.ceil(count / batch) for count in by_length)
    assert sum(seen) == expected == steps(plan_of(model), prompts, settings)


@EXECUTORS
def test_a_part_is_measured_when_it_is_asked_for(tiny_model, prompts, monkeypatch, executor):
    """So that what was measured can be saved before the next part begins."""
    monkeypatch.setattr(schedule, "PART_EXPERIMENTS", 1)
    model, seen = tiny_model("gpt2"), []
    next(execute(model, plan_of(model), prompts, bind_metrics((KL,)), progress=seen.append, executor=executor))
    assert sum(seen) == 3  # one experiment on batches of three lengths


def test_without_corrupted_prompts_there_is_no_other_value(tiny_model):
    model = tiny_model("gpt2")
    prompts = PromptSet(tuple(replace(pair, corrupted=None) for pair in random_prompts(3).pairs))
    (measured, _) = flat(parts_of(model, prompts, [edge("a0.h1", "logits", source=Base())]))
    assert measured.metric_other is None
    assert np.array_equal(measured.effect, np.zeros(3))


# What is refused, before the model runs ---------------------------------------------------------


def spoiled(**changes: object) -> PromptSet:
    """Random prompts of which the second pair is changed."""
    pairs = list(random_prompts(3).pairs)
    pairs[1] = replace(pairs[1], **changes)  # type: ignore[arg-type]  # keywords come from the test
    return PromptSet(tuple(pairs))


FINE = random_prompts(3)
LONG = random_prompts(2, lengths=(41, 5))
REFUSED: dict[str, tuple[Claim, PromptSet, str]] = {
    "layer": (edge("a0.h1", "a7.h0<q>"), FINE, "'a0.h1 → a7.h0<q>': a7.h0 has layer 7; this model has layers 0 to 2"),
    "head": (node("a1.h4"), FINE, "'a1.h4': a1.h4 has head 4; this model has heads 0 to 3"),
    "sender in a joined edge": (edge(["a0.h1", "m9"], "logits"), FINE, "m9 has layer 9; this model has layers 0 to 2"),
    "position": (
        edge("a0.h1@C", "logits"),
        FINE,
        "'C' is no position; have: A, B, END",
    ),
    "index": (edge("a0.h1@9", "logits"), FINE, "position 9 lies outside the prompt, which has 7 tokens"),
    "token": (
        node("m0"),
        spoiled(clean=(3, VOCAB, 3, 3, 3, 3, 3)),
        f"pair 2 has token id {VOCAB}; the model knows 0 to {VOCAB - 1}",
    ),
    "corrupted token": (node("m0"), spoiled(corrupted=(3, 3, 3, 3, 3, 3, 99)), "pair 2 has token id 99"),
    "answer": (
        node("m0"),
        spoiled(answers=(VOCAB + 3,)),
        f"pair 2 has answer id {VOCAB + 3}; the logits are for 0 to {VOCAB - 1}",
    ),
    "wrong answer": (node("m0"), spoiled(wrong_answers=(51,)), "pair 2 has answer id 51"),
    "context": (node("m0"), LONG, "pair 1 has 41 tokens; the model takes at most 40"),
    "counterfactual": (edge("m0", "logits"), spoiled(corrupted=None), "'m0 → logits' needs a corrupted prompt"),
    "base": (
        node("m0", base=BaseRun.CORRUPTED, source=Base()),
        spoiled(corrupted=None),
        "'m0' needs a corrupted prompt in every pair",
    ),
    "reference": (
        node("m0", source=Mean(ReferenceSpec(prompts=PromptsSpec(pairs=())))),
        FINE,
        "mean and resample need a reference set, and none was given",
    ),
    "both ends": (edge(["a0.h1", "m1.n5"], ["m1.n5", "logits"]), FINE, "is both a joined sender and a joined receiver"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_that_can_be_wrong_is_said_before_the_model_runs(tiny_model, monkeypatch, name):
    claim, prompts, message = REFUSED[name]
    model = tiny_model("gpt2")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(type(model), "run", never)
    with pytest.raises(InputError) as raised:
        parts_of(model, prompts, [node("a0.h0", source=Base()), claim])
    assert message in str(raised.value)
    assert isinstance(raised.value, RefusedError) == (name == "both ends")


def test_the_guard_of_the_test_above_does_fire(tiny_model, monkeypatch):
    model = tiny_model("gpt2")
    monkeypatch.setattr(type(model), "run", lambda *_, **__: pytest.fail("ran"))
    with pytest.raises(pytest.fail.Exception, match="ran"):
        parts_of(model, FINE, [node("a0.h0")])


def test_metrics_of_one_name_get_columns_of_their_own():
    assert columns("logit_diff", {"name": "logit_diff", "at": "A"}, {"name": "kl", "label": "divergence"}, "kl") == [
        "logit_diff",
        "logit_diff@A",
        "divergence",
        "kl",
    ]


def test_columns_of_metrics_say_what_differs():
    clean, corrupted = {"name": "kl", "to": "clean"}, {"name": "kl", "to": "corrupted", "at": "S2"}
    assert columns("kl", clean, corrupted) == ["kl", "kl(to=clean)", "kl@S2(to=corrupted)"]
    assert columns(clean, "kl", "prob") == ["kl(to=clean)", "kl", "prob"]
    assert columns("logit_diff", {"name": "logit_diff", "reduce": "max"}) == ["logit_diff", "logit_diff(reduce=max)"]


def test_a_metric_alone_with_its_name_keeps_it():
    assert columns({"name": "kl", "to": "clean"}, {"name": "kl", "label": "from base"}) == ["kl", "from base"]
    assert columns({"name": "prob", "at": "S2"}) == ["prob"]


def test_columns_are_unique_even_where_nothing_differs_or_a_label_is_a_name():
    assert columns("kl", "kl", {"name": "kl", "to": "base"}) == ["kl", "kl#2", "kl#3"]
    assert columns({"name": "prob", "label": "kl"}, "kl", {"name": "logit", "label": "kl"}) == ["kl", "kl#2", "logit"]


def columns(*metrics: str | dict[str, str]) -> list[str]:
    specs = [PluginSpec.model_validate({"name": each} if isinstance(each, str) else each) for each in metrics]
    return [metric.column for metric in bind_metrics(specs)]
